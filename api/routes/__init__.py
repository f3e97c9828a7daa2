"""One file a resource: a route parses and answers, a service decides."""
