"""Whether store and cores can supply a training in time, simulated before any GPU is rented."""

from __future__ import annotations

from trainer.supply.forecast import SupplyForecast, forecast

__all__ = ["SupplyForecast", "forecast"]
