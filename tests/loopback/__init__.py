"""A loopback WhatsApp for the tests: real clients link, log in and talk through it, on this machine alone."""
