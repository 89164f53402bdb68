"""What several machines keep together, on Redis or Valkey."""
