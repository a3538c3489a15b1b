package s3

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Report says which of the promises this driver depends on a store keeps.
type Report struct {
	CreateOnly     bool // PUT with If-None-Match: * does not overwrite
	CompareAndSwap bool // PUT with If-Match refuses a stale ETag
	Checksum       bool // a PUT whose bytes don't have the stated SHA-256 is refused
}

// Warnings returns a sentence for each promise that isn't kept.
func (r Report) Warnings() []string {
	var w []string
	if !r.CreateOnly {
		w = append(w, "the store ignores If-None-Match on PUT: two writers of one object can replace each other's bytes")
	}
	if !r.CompareAndSwap {
		w = append(w, "the store ignores If-Match on PUT: it cannot notice a second instance that writes to the same bucket")
	}
	if !r.Checksum {
		w = append(w, "the store does not check x-amz-checksum-sha256 on PUT: bytes damaged on the way are found only when read")
	}
	return w
}

// Probe tries the store's promises on an object of its own, probe/<random>,
// which it removes. An error means that it couldn't find out; objects left by a
// probe that was interrupted may be deleted at any time.
func (d *Driver) Probe(ctx context.Context) (Report, error) {
	var r Report
	key := "probe/" + bundle.NewID().String()
	tag, err := d.WriteSmall(ctx, key, []byte("first"), "")
	if err != nil {
		return r, err
	}
	r, err = d.probe(ctx, key, tag)
	// Remove the object even if ctx ended meanwhile.
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return r, errors.Join(err, d.Delete(cleanup, key))
}

func (d *Driver) probe(ctx context.Context, key, tag string) (r Report, err error) {
	newer, err := d.WriteSmall(ctx, key, []byte("second"), tag)
	if err != nil {
		return r, err
	}
	if newer == tag {
		return r, bundle.Errorf(bundle.KindOther, "s3: the store gave two states of %s one ETag; it can't be used", key)
	}
	if r.CreateOnly, err = refused(d.WriteSmall(ctx, key, []byte("third"), "")); err != nil {
		return r, err
	}
	if r.CompareAndSwap, err = refused(d.WriteSmall(ctx, key, []byte("fourth"), tag)); err != nil {
		return r, err
	}
	r.Checksum, err = d.probeChecksum(ctx, key)
	return r, err
}

// refused reports whether a write that should conflict did.
func refused(_ string, err error) (bool, error) {
	if bundle.IsKind(err, bundle.KindConflict) {
		return true, nil
	}
	return false, err
}

// probeChecksum sends a rightly signed body with another body's checksum.
func (d *Driver) probeChecksum(ctx context.Context, key string) (bool, error) {
	body := []byte("fifth")
	_, err := d.core.PutObject(ctx, d.cfg.Bucket, d.name(key), bytes.NewReader(body), int64(len(body)),
		"", bundle.DigestOf(body).String(), putOptions(bundle.DigestOf([]byte("something else"))))
	if err == nil {
		return false, nil
	}
	if err = fail(ctx, err, "probe %s", key); bundle.IsKind(err, bundle.KindCorrupt) {
		return true, nil
	}
	return false, err
}
