"""Measures of whether a video obeys its conditions: functions of arrays that call no network, and intervals of their means."""
