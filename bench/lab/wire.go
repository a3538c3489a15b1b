package lab

import (
	"container/heap"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// maxHeld is how many delayed packets there are at most; further ones are lost,
// as in a router whose queue is full.
const maxHeld = 8192

// wire is the network between nodes: it passes packets of IPv4 between ports, by
// the last number of the address they are sent to, and loses or delays them. The
// kernel of a small machine may lack a queue that does (netem), so it is done here.
type wire struct {
	mu    sync.Mutex
	ports map[byte]io.ReadWriteCloser
	gone  map[route]bool
	slows map[byte]slowness
	held  packets
	last  map[route]time.Time // when the newest held packet of a route is due
	count uint64

	wake    chan struct{}
	stop    chan struct{}
	running sync.WaitGroup
}

// route is one direction between two ports.
type route struct{ from, to byte }

// slowness is what a port does to packets that pass it.
type slowness struct {
	delay, jitter time.Duration
	loss          float64 // between 0 and 1
}

func newWire() *wire {
	w := &wire{
		ports: map[byte]io.ReadWriteCloser{}, gone: map[route]bool{}, slows: map[byte]slowness{}, last: map[route]time.Time{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	w.running.Go(w.deliver)
	return w
}

// plug joins a port, one packet a read or write; the wire closes it in the end.
func (w *wire) plug(number byte, p io.ReadWriteCloser) {
	w.mu.Lock()
	w.ports[number] = p
	w.mu.Unlock()
	w.running.Go(func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := p.Read(buffer)
			if err != nil {
				return // closed
			}
			w.pass(number, buffer[:n])
		}
	})
}

func (w *wire) cut(from, to byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone[route{from, to}] = true
}

func (w *wire) slow(number byte, s slowness) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slows[number] = s
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.gone)
	clear(w.slows)
}

// pass handles one packet that a port sent; it does not keep it.
func (w *wire) pass(from byte, packet []byte) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return // no IPv4
	}
	r := route{from, packet[19]}
	w.mu.Lock()
	defer w.mu.Unlock()
	to, ok := w.ports[r.to]
	if !ok || w.gone[r] {
		return
	}
	wait := time.Duration(0)
	for _, s := range []slowness{w.slows[r.from], w.slows[r.to]} {
		if s.loss > 0 && rand.Float64() < s.loss {
			return
		}
		wait += s.delay
		if s.jitter > 0 {
			wait += rand.N(s.jitter)
		}
	}
	if wait == 0 && !w.last[r].After(time.Now()) {
		_, _ = to.Write(packet) // a port that takes none loses it
		return
	}
	w.hold(r, packet, wait)
}

// hold puts a packet behind those of its route that are held already.
func (w *wire) hold(r route, packet []byte, wait time.Duration) {
	if len(w.held) >= maxHeld {
		return
	}
	due := time.Now().Add(wait)
	if due.Before(w.last[r]) {
		due = w.last[r]
	}
	w.last[r] = due
	w.count++
	heap.Push(&w.held, held{due, w.count, r.to, append([]byte(nil), packet...)})
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// deliver passes held packets on when they are due.
func (w *wire) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.flush())
		select {
		case <-timer.C:
		case <-w.wake:
		case <-w.stop:
			return
		}
	}
}

// flush passes on what is due and returns the time until more is.
func (w *wire) flush() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.held) > 0 {
		if wait := time.Until(w.held[0].due); wait > 0 {
			return wait
		}
		p := heap.Pop(&w.held).(held)
		if to, ok := w.ports[p.to]; ok {
			_, _ = to.Write(p.packet)
		}
	}
	return time.Hour
}

// close closes every port and waits until nothing passes any more.
func (w *wire) close() {
	w.mu.Lock()
	for _, p := range w.ports {
		_ = p.Close()
	}
	w.mu.Unlock()
	close(w.stop)
	w.running.Wait()
}

// held is a packet that waits.
type held struct {
	due    time.Time
	number uint64
	to     byte
	packet []byte
}

// packets is a heap, that which is due first on top.
type packets []held

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	if !p[i].due.Equal(p[j].due) {
		return p[i].due.Before(p[j].due)
	}
	return p[i].number < p[j].number
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }

// Push implements [heap.Interface].
func (p *packets) Push(x any) { *p = append(*p, x.(held)) }

// Pop implements [heap.Interface].
func (p *packets) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}
