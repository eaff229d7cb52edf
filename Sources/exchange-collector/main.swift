print("exchange-collector")
