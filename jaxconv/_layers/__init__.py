"""What the layers of Flax and Equinox share; it knows neither of them."""
