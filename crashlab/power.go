package main

import "context"

func losePower(ctx context.Context, root, dir string, want *result) error { return nil }
