"""The cache of reconstructions that several runtimes share, on Redis or Valkey."""
