package lab

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// device is a port of a wire whose other end the test holds: what is put into in
// comes to the wire, what the wire passes comes out.
type device struct {
	in, out chan []byte
	closed  chan struct{}
}

func newDevice() *device {
	return &device{make(chan []byte), make(chan []byte, 2*maxHeld), make(chan struct{})}
}

func (d *device) Read(b []byte) (int, error) {
	select {
	case p := <-d.in:
		return copy(b, p), nil
	case <-d.closed:
		return 0, io.EOF
	}
}

func (d *device) Write(b []byte) (int, error) {
	d.out <- bytes.Clone(b)
	return len(b), nil
}

func (d *device) Close() error { close(d.closed); return nil }

// packet is one to the port to, with a number in it.
func packet(to, number byte) []byte {
	p := make([]byte, 21)
	p[0], p[19], p[20] = 0x45, to, number
	return p
}

func wired(t *testing.T) (w *wire, a, b *device) {
	w, a, b = newWire(), newDevice(), newDevice()
	w.plug(1, a)
	w.plug(2, b)
	t.Cleanup(w.close)
	return w, a, b
}

// passed sends packets 1, 2 and 3 from a to b and then one the other way, which
// comes only when the wire is done with them unless it holds them.
func passed(a, b *device) []byte {
	for number := byte(1); number <= 3; number++ {
		a.in <- packet(2, number)
	}
	a.in <- packet(1, 9) // to itself
	<-a.out
	var got []byte
	for len(b.out) > 0 {
		got = append(got, (<-b.out)[20])
	}
	return got
}

func TestAWireLosesOneDirectionAlone(t *testing.T) {
	w, a, b := wired(t)
	if got := passed(a, b); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("whole: %v", got)
	}
	w.cut(2, 1)
	if got := passed(a, b); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("the other direction is cut: %v", got)
	}
	w.cut(1, 2)
	if got := passed(a, b); got != nil {
		t.Errorf("cut: %v", got)
	}
	w.heal()
	if got := passed(a, b); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("healed: %v", got)
	}
	w.slow(2, slowness{loss: 1})
	if got := passed(a, b); got != nil {
		t.Errorf("lossy: %v", got)
	}
}

func TestASlowWireDelaysAndKeepsTheOrder(t *testing.T) {
	w, a, b := wired(t)
	const delay = 20 * time.Millisecond
	w.slow(2, slowness{delay: delay, jitter: delay})
	began := time.Now()
	for number := range byte(50) {
		a.in <- packet(2, number)
	}
	w.heal() // what comes from now on must not overtake
	a.in <- packet(2, 50)
	for number := range byte(51) {
		if got := (<-b.out)[20]; got != number {
			t.Fatalf("packet %d came in place of %d", got, number)
		}
		if number == 0 && time.Since(began) < delay {
			t.Errorf("the first came after %v", time.Since(began))
		}
	}
}

func TestWhatIsNoPacketOfIPv4IsLost(t *testing.T) {
	_, a, b := wired(t)
	for _, p := range [][]byte{{}, {0x45}, append([]byte{0x60}, make([]byte, 39)...), packet(7, 1)} {
		a.in <- p
	}
	if got := passed(a, b); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Error(got)
	}
}
