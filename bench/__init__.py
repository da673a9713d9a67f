"""The engine's work done by the engine and by its peers, side by side in one run."""
