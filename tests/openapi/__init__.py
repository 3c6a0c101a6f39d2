"""The OpenAPI document as its readers use it: linters, and generators of clients."""
