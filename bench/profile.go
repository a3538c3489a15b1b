package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/client"
)

// profiled is how long the clients run under the profile.
const profiled = 10 * time.Second

// profile runs P1 with so many clients on folder storage against an instance in this
// process and writes a CPU profile. What the clients do is in it, too, under the
// label side:client; leave it out with
//
//	go tool pprof -top -tagignore=client FILE
func profile(ctx context.Context, data, file string, clients int, stdout io.Writer) (err error) {
	cfg := blockstored.DefaultConfig(data)
	cfg.Listen, cfg.Peer.Listen = "127.0.0.1:0", "127.0.0.1:0"
	inst, err := blockstored.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inst.Close()) }()
	where, err := inProcess(ctx, inst, data)
	if err != nil {
		return err
	}
	defer where.api.Close()
	pprof.Do(ctx, pprof.Labels("side", "client"), func(ctx context.Context) {
		err = underProfile(ctx, where, file, clients, stdout)
	})
	return err
}

// inProcess makes the host's token and a collection through the admin socket.
func inProcess(ctx context.Context, inst *blockstored.Instance, data string) (*instance, error) {
	socket, err := blockstored.FindAdminSocket(data)
	if err != nil {
		return nil, err
	}
	admin, err := client.New(client.Config{Socket: socket})
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	token, err := admin.CreateToken(ctx, "bench", "writer", 0)
	if err != nil {
		return nil, err
	}
	collection, err := admin.CreateCollection(ctx, "bench")
	if err != nil {
		return nil, err
	}
	return &instance{api: site.NewAPI(inst.Addresses().API, token.Token), collection: collection.ID.String()}, nil
}

func underProfile(ctx context.Context, where *instance, file string, clients int, stdout io.Writer) error {
	courses, err := where.courses(ctx, clients, 100)
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return errors.Join(err, out.Close())
	}
	var e edits
	ops, took, err := run(ctx, subject{clients: clients, op: func(ctx context.Context, client int) error {
		return courses[client].cycle(ctx, &e, 1)
	}}, profiled)
	pprof.StopCPUProfile()
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d cycles of %d clients, %.1f a second; go tool pprof -top -tagignore=client %s\n",
		ops, clients, float64(ops)/took.Seconds(), file)
	return err
}
