package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// freePort is one of this host at which nobody listens. It lies below those that the kernel gives to outgoing connections:
// a client that dials a server while that is dead could be given the server's own.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port below 32000")
}
