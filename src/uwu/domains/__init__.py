"""The twelve systems; each meets the contract of ``uwu.kernel.domain``. None imports another."""
