"""Detections: rules over CloudTrail events, as each batch lands and over history; an alert is a finding."""
