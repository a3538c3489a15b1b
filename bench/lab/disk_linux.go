package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/blockstored/blockstored/bench/site"
)

// What fsfreeze(8) asks of the kernel.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// minDisk is the least size of a disk.
const minDisk = 32 << 20

// disk is a file system of its own in a file, mounted at a folder.
type disk struct {
	at string

	mu    sync.Mutex
	cold  bool
	pulse context.CancelFunc // ends the pulses of slow
	done  chan struct{}
}

// openDisk makes an ext4 of size bytes in image and mounts it at the empty folder
// at, which the lab's guard unmounts.
func openDisk(ctx context.Context, image, at string, size int64) (*disk, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("disks need root")
	}
	if size < minDisk {
		return nil, fmt.Errorf("a disk has at least %d MiB", minDisk>>20)
	}
	f, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close(), os.MkdirAll(at, 0o700)); err != nil {
		return nil, err
	}
	// No reserve for root, who fills the disk; no work of the kernel's own left over.
	if err := run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
		return nil, err
	}
	return &disk{at: at}, run(ctx, "mount", "-o", "loop", image, at)
}

// freeze lets writes hang from now on, after those under way are on disk.
func (d *disk) freeze() error { return d.set(true) }

// thaw lets writes go on; it does nothing to a disk that is not frozen.
func (d *disk) thaw() error {
	d.mu.Lock()
	pulse, done := d.pulse, d.done
	d.pulse = nil
	d.mu.Unlock()
	if pulse != nil {
		pulse()
		<-done
	}
	return d.set(false)
}

func (d *disk) set(cold bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cold == cold {
		return nil
	}
	f, err := os.Open(d.at)
	if err != nil {
		return err
	}
	request := uint(fiThaw)
	if cold {
		request = fiFreeze
	}
	err = unix.IoctlSetInt(int(f.Fd()), request, 0)
	if err == nil {
		d.cold = cold
	}
	return errors.Join(err, f.Close())
}

// slow freezes the disk again and again, for frozen of each period, until it is
// thawed.
func (d *disk) slow(frozen, period time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	d.mu.Lock()
	d.pulse, d.done = cancel, make(chan struct{})
	done := d.done
	d.mu.Unlock()
	go func() {
		defer close(done)
		for cold := true; ctx.Err() == nil; cold = !cold {
			if d.set(cold) != nil {
				return // the disk is gone
			}
			if cold {
				site.Pause(ctx, frozen)
			} else {
				site.Pause(ctx, period-frozen)
			}
		}
	}()
}

// fill takes every free byte.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(d.at, &stat); err == nil { // most of it at once
		if free := int64(stat.Bavail) * stat.Bsize; free > 0 {
			_ = unix.Fallocate(int(f.Fd()), 0, 0, free)
		}
	}
	_, err = f.Seek(0, io.SeekEnd)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// free gives back what fill took.
func (d *disk) free() error {
	if err := os.Remove(d.filler()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *disk) filler() string { return filepath.Join(d.at, "filler") }

// guard is a process that takes the disks of a lab apart once this one has closed
// its end of a pipe, or is gone: a file system that is frozen would stay so.
type guard struct {
	cmd  *exec.Cmd
	pipe io.Closer
	said *strings.Builder
}

// guardScript gets the lab's folder. Processes that use a disk are gone or about
// to go, those that hang on a frozen one when it is thawed.
const guardScript = `
trap '' INT TERM HUP
cat >/dev/null
i=0
while [ $i -lt 300 ]; do
	left=
	for at in "$1"/*/; do
		mountpoint -q "$at" || continue
		fsfreeze --unfreeze "$at" 2>/dev/null
		umount "$at" 2>/dev/null || left="$left $at"
	done
	[ -n "$left" ] || exit 0
	i=$((i + 1))
	sleep 0.1
done
echo "still mounted:$left" >&2
exit 1
`

func startGuard(dir string) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	g := &guard{cmd: exec.Command("sh", "-c", guardScript, "blockstored-lab-guard", dir), pipe: w, said: new(strings.Builder)}
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = r, g.said, g.said
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what a terminal sends is not for it
	return g, errors.Join(g.cmd.Start(), r.Close())
}

func (g *guard) close() error {
	err := g.pipe.Close()
	if ended := g.cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("disks: %w: %s", ended, strings.TrimSpace(g.said.String())))
	}
	return err
}
