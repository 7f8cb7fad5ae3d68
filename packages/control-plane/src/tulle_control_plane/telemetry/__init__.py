"""What the proxies saw: additions arrive, windows of figures are read. Pure: no I/O, the time is passed in.

figures.py   counts that add up, and the figures read from them
windows.py   counts over the last seconds and minutes, in bounded memory
traffic.py   who talked to whom
views.py     rows of `tulle stat` and `tulle edges`
"""
