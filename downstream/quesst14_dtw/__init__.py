"""Query-by-example spoken term detection on QUESST 2014 by dynamic time warping."""
