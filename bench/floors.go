package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// floors are what the machine itself takes for the durable steps of which a
// commit is made, in a folder beside the sites' own.
type floors struct {
	dir     string
	log     *os.File
	written int
	content []byte
}

func newFloors(dir string) (*floors, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &floors{dir: dir, log: log, content: text(0, 0)}, err
}

func (f *floors) close() error { return f.log.Close() }

func (f *floors) subjects() []subject {
	return []subject{
		{name: "floor: durable file (create, write 1 KiB, fsync, rename, fsync folder)", clients: 1, op: f.durableFile},
		{name: "floor: log append of 1 KiB with fsync", clients: 1, op: f.logAppend},
	}
}

func (f *floors) durableFile(context.Context, int) error {
	f.written++
	path := filepath.Join(f.dir, fmt.Sprintf("object-%d", f.written))
	temp, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = temp.Write(f.content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f *floors) logAppend(context.Context, int) error {
	if _, err := f.log.Write(f.content); err != nil {
		return err
	}
	return f.log.Sync()
}
