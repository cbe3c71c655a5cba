"""The data sets of ncps 1.0.1: they are read where they lie, and not downloaded any more."""

from ncps.datasets import icra2020_lidar_collision_avoidance as icra2020_lidar_collision_avoidance
