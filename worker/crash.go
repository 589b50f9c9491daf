package main

import (
	"context"
	"os"
	"strings"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"so8t/disk"
)

// crashWhileTelling adds the crash points around the report of an activity's end, where
// SO8T_CRASH_AT asks for one of them.
func crashWhileTelling(o *client.Options) {
	if !strings.HasPrefix(os.Getenv("SO8T_CRASH_AT"), "temporal.") {
		return
	}
	o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if !strings.HasSuffix(method, "/RespondActivityTaskCompleted") {
				return invoke(ctx, method, req, reply, cc, opts...)
			}
			told := make(chan error, 1)
			go func() { told <- invoke(ctx, method, req, reply, cc, opts...) }()
			disk.Crash("temporal.telling")
			err := <-told
			disk.Crash("temporal.told")
			return err
		}))
}
