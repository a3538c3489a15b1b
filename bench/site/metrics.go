package site

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Metrics are the samples of one scrape, by name with labels as exposed.
type Metrics map[string]float64

// Metrics scrapes the site through the operators' socket.
func (s *Site) Metrics(ctx context.Context) (Metrics, error) { return Scrape(ctx, s.adminSocket()) }

// Scrape returns the samples that an operators' socket answers.
func Scrape(ctx context.Context, socket string) (Metrics, error) {
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s", socket, resp.Status)
	}
	return parseMetrics(resp.Body)
}

// adminSocket returns the path of the operators' socket; a file beside it names
// another place where the data folder's path is too long for a socket.
func (s *Site) adminSocket() string {
	path := filepath.Join(s.data, "admin.sock")
	if pointer, err := os.ReadFile(path + ".path"); err == nil {
		return strings.TrimSpace(string(pointer))
	}
	return path
}

// parseMetrics reads the text exposition format as far as the program uses it.
func parseMetrics(r io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || cut < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		m[line[:cut]] = v
	}
	return m, lines.Err()
}

// Sum adds up the samples of a family that carry all of labels, each written
// as it is exposed: kind="pack".
func (m Metrics) Sum(family string, labels ...string) float64 {
	sum := 0.0
next:
	for name, v := range m {
		base, rest, _ := strings.Cut(name, "{")
		if base != "blockstored_"+family {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		sum += v
	}
	return sum
}
