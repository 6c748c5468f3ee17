"""The host's clock: the cycles of a program, its retirements and counters, without its data.

event_model goes from event to event, cycle_model through every cycle; both read a program as a Schedule (schedule.py).
"""
