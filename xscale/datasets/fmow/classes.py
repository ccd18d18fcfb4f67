"""What fMoW's categories and bands are called, and its published statistics."""

#: The 62 categories; their order numbers the labels, as in every published list.
CLASSES = (
    *('airport', 'airport_hangar', 'airport_terminal', 'amusement_park', 'aquaculture'),
    *('archaeological_site', 'barn', 'border_checkpoint', 'burial_site', 'car_dealership'),
    *('construction_site', 'crop_field', 'dam', 'debris_or_rubble', 'educational_institution'),
    *('electric_substation', 'factory_or_powerplant', 'fire_station', 'flooded_road', 'fountain'),
    *('gas_station', 'golf_course', 'ground_transportation_station', 'helipad', 'hospital'),
    *('impoverished_settlement', 'interchange', 'lake_or_pond', 'lighthouse'),
    *('military_facility', 'multi-unit_residential', 'nuclear_powerplant', 'office_building'),
    *('oil_or_gas_facility', 'park', 'parking_lot_or_garage', 'place_of_worship'),
    *('police_station', 'port', 'prison', 'race_track', 'railway_bridge', 'recreational_facility'),
    *('road_bridge', 'runway', 'shipyard', 'shopping_mall', 'single-unit_residential'),
    *('smokestack', 'solar_farm', 'space_facility', 'stadium', 'storage_tank', 'surface_mine'),
    *('swimming_pool', 'toll_booth', 'tower', 'tunnel_opening', 'waste_disposal'),
    *('water_treatment_facility', 'wind_farm', 'zoo'),
)

#: The 63rd: a box that a detector drew where nothing of the 62 is.
FALSE_DETECTION = 'false_detection'

#: Bands of each kind of image with mean and standard deviation in the files' units: bytes, as
#: Cross-Scale MAE's loader has them over 255, and reflectance × 10,000, as SatMAE's has them.
STATISTICS = {
    'rgb': {
        'red': (0.43392888 * 255, 0.19828456 * 255),
        'green': (0.43578541 * 255, 0.19250111 * 255),
        'blue': (0.40744025 * 255, 0.19454683 * 255),
    },
    'sentinel': {
        'B1': (1370.19151926, 633.15169573),
        'B2': (1184.3824625, 650.2842772),
        'B3': (1120.77120066, 712.12507725),
        'B4': (1136.26026392, 965.23119807),
        'B5': (1263.73947144, 948.9819932),
        'B6': (1645.40315151, 1108.06650639),
        'B7': (1846.87040806, 1258.36394548),
        'B8': (1762.59530783, 1233.1492281),
        'B8A': (1972.62420416, 1364.38688993),
        'B9': (582.72633433, 472.37967789),
        'B10': (14.77112979, 14.3114637),
        'B11': (1732.16362238, 1310.36996126),
        'B12': (1247.91870117, 1087.6020813),
    },
}
