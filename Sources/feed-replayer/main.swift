print("feed-replayer")
