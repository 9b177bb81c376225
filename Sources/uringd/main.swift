print("uringd")
