package cluster

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// complaints keeps those who are refused from filling the log: it is said aloud
// at most once a second, and the same at most once a minute.
type complaints struct {
	mu   sync.Mutex
	last time.Time
	said string
}

// level is that of a line about why somebody was refused.
func (c *complaints) level(why string, now time.Time) slog.Level {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since := now.Sub(c.last); since < time.Second || why == c.said && since < time.Minute {
		return slog.LevelDebug
	}
	c.last, c.said = now, why
	return slog.LevelWarn
}

// maxGreetingsFrom is how many of maxGreetings one host may hold, so that it does
// not keep all others out by saying nothing.
const maxGreetingsFrom = maxGreetings * 3 / 4

// greetings counts the connections that have not said yet what they are for.
type greetings struct {
	mu    sync.Mutex
	all   int
	hosts map[string]int
}

// enter takes a place for a connection from there; leave gives it back. Ok is
// false if there is none.
func (g *greetings) enter(from net.Addr) (leave func(), ok bool) {
	host := from.String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= maxGreetings || g.hosts[host] >= maxGreetingsFrom {
		return nil, false
	}
	if g.hosts == nil {
		g.hosts = map[string]int{}
	}
	g.all++
	g.hosts[host]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.hosts[host]--; g.hosts[host] == 0 {
			delete(g.hosts, host)
		}
	}, true
}
