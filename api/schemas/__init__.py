"""What requests may hold and what responses hold."""
