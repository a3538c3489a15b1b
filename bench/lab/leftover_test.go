package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// holds names the folder in which this test, run as a process of its own, opens a
// lab and does nothing more.
const holds = "BLOCKSTORED_TEST_LAB"

// hold opens a lab, freezes a disk and waits to be killed. It says with which of
// the machine's network devices nodes are linked.
func hold(dir string) int {
	l, err := lab.Open(context.Background(), lab.Options{
		Program: site.Program(os.Getenv("BLOCKSTORED_PROGRAM")), Dir: dir, Nodes: 2, Namespaces: true, Disk: 64 << 20,
	})
	if err == nil {
		err = l.FreezeDisk(l.Nodes()[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	links, err := links(l.Nodes()[0].URL())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(strings.Trim(fmt.Sprint(links), "[]"))
	select {}
}

// links returns the numbers of the devices that have the first address of the
// network of a node's.
func links(node string) (numbers []int, err error) {
	u, err := url.Parse(node)
	if err != nil {
		return nil, err
	}
	host := net.ParseIP(u.Hostname()).To4()
	host[3] = 1
	devices, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		addresses, err := d.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			if at, ok := a.(*net.IPNet); ok && at.IP.Equal(host) {
				numbers = append(numbers, d.Index)
			}
		}
	}
	return numbers, nil
}

func TestNothingIsLeftOfALabThatIsKilled(t *testing.T) {
	t.Parallel()
	need(t)
	dir := filepath.Join(t.TempDir(), "killed")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holds+"="+dir, "BLOCKSTORED_PROGRAM="+string(program))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if kill := errors.Join(cmd.Process.Kill(), err); kill != nil || cmd.Wait() == nil {
		t.Fatalf("the lab did not come: %v", kill)
	}
	devices := strings.Fields(line)
	if len(devices) != 2 {
		t.Errorf("linked by %q", line)
	}
	if err := lab.Until(t.Context(), func(context.Context) error { return left(dir, devices) }); err != nil {
		t.Error(err)
	}
}

// left says what is there of a lab in the folder dir.
func left(dir string, devices []string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), dir) {
		return errors.New("a file system is mounted")
	}
	for pattern, what := range map[string]string{
		"/sys/block/loop*/loop/backing_file": "a loop device", "/proc/[0-9]*/cmdline": "a process", "/proc/[0-9]*/environ": "a process",
	} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			if content, err := os.ReadFile(name); err == nil && strings.Contains(string(content), dir) {
				return fmt.Errorf("%s is left: %s", what, name)
			}
		}
	}
	for _, d := range devices {
		number, err := strconv.Atoi(d)
		if err != nil {
			return err
		}
		if at, err := net.InterfaceByIndex(number); err == nil {
			return fmt.Errorf("the device %s is left", at.Name)
		}
	}
	return nil
}
