package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

const (
	checksumHeader    = "X-Amz-Checksum-Sha256"
	checksumAlgorithm = "X-Amz-Checksum-Algorithm"
)

// Driver keeps objects in one bucket, under one prefix. It implements
// [storage.Driver]. Keys are joined to the prefix as they are.
type Driver struct {
	cfg     Config
	core    *minio.Core   // retries
	once    *minio.Core   // tries once, for requests whose repetition must be judged
	presign *minio.Client // makes URLs, sends nothing
	creds   *credentials.Credentials
	idle    func() // closes idle connections of our own transport

	// Limits that tests lower.
	singlePut, partSize int64
}

var _ storage.Driver = (*Driver)(nil)

// Open connects to the bucket and checks that it exists and can be listed. An
// error says what to correct: KindInvalid is the configuration, KindUnavailable
// the store or the rights it grants. Open then runs [Driver.Probe] and logs what
// the store lacks. Nothing runs in the background; Close releases connections.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d, err := newDriver(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := d.prepare(ctx); err != nil {
		d.idle()
		return nil, err
	}
	return d, nil
}

// newDriver makes the clients; only a search for credentials uses the network.
func newDriver(ctx context.Context, cfg Config) (*Driver, error) {
	endpoint, err := parseEndpoint("endpoint", cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	secure := endpoint.Scheme == "https"
	d := &Driver{cfg: cfg, idle: func() {}, singlePut: singlePutLimit, partSize: minPartSize}
	rt := cfg.Transport
	if rt == nil {
		own, err := minio.DefaultTransport(secure)
		if err != nil {
			return nil, fmt.Errorf("s3: transport: %w", err)
		}
		rt, d.idle = own, own.CloseIdleConnections
	}
	d.creds = newCredentials(cfg, rt)
	if err := checkCredentials(ctx, d.creds, rt); err != nil {
		d.idle()
		return nil, err
	}
	opts := minio.Options{
		Creds: d.creds, Secure: secure, Transport: rt, Region: cfg.Region,
		MaxRetries: cfg.Attempts, BucketLookup: minio.BucketLookupAuto,
	}
	if cfg.PathStyle {
		opts.BucketLookup = minio.BucketLookupPath
	}
	single := opts
	single.MaxRetries = 1
	if d.core, err = minio.NewCore(endpoint.Host, &opts); err == nil {
		d.once, err = minio.NewCore(endpoint.Host, &single)
	}
	if err != nil {
		d.idle()
		return nil, bundle.Errorf(bundle.KindInvalid, "s3: endpoint %q: %w", cfg.Endpoint, err)
	}
	return d, nil
}

// prepare checks the bucket and learns its region.
func (d *Driver) prepare(ctx context.Context) error {
	err := d.checkBucket(ctx)
	if err != nil && d.cfg.CreateBucket && hasCode(err, "NoSuchBucket") {
		err = d.core.MakeBucket(ctx, d.cfg.Bucket, minio.MakeBucketOptions{Region: d.cfg.Region})
		if err != nil && !hasCode(err, "BucketAlreadyOwnedByYou") {
			return fail(ctx, err, "create bucket %q at %s", d.cfg.Bucket, d.cfg.Endpoint)
		}
		err = d.checkBucket(ctx)
	}
	if err != nil {
		return fail(ctx, err, "open bucket %q at %s", d.cfg.Bucket, d.cfg.Endpoint)
	}
	if err := d.openPresigner(ctx); err != nil {
		return err
	}
	report, err := d.Probe(ctx)
	if err != nil {
		return err
	}
	for _, w := range report.Warnings() {
		d.cfg.Logger.WarnContext(ctx, w, "endpoint", d.cfg.Endpoint, "bucket", d.cfg.Bucket)
	}
	return nil
}

// checkBucket lists one key: unlike HEAD, an answer that says what is wrong.
func (d *Driver) checkBucket(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range d.core.ListObjectsIter(ctx, d.cfg.Bucket, d.listOptions("", 1)) {
		return o.Err
	}
	return ctx.Err()
}

func (d *Driver) openPresigner(ctx context.Context) error {
	public, err := parseEndpoint("public_endpoint", d.cfg.PublicEndpoint)
	if err != nil {
		return err
	}
	region, err := d.core.GetBucketLocation(ctx, d.cfg.Bucket)
	if err != nil {
		return fail(ctx, err, "ask for the region of bucket %q; set storage.s3.region", d.cfg.Bucket)
	}
	opts := minio.Options{Secure: public.Scheme == "https", Region: region, BucketLookup: minio.BucketLookupAuto}
	if d.cfg.PathStyle {
		opts.BucketLookup = minio.BucketLookupPath
	}
	if d.cfg.PresignAccessKeyID != "" {
		opts.Creds = credentials.NewStaticV4(d.cfg.PresignAccessKeyID, d.cfg.PresignSecretAccessKey, "")
	} else {
		opts.Creds = d.creds
	}
	if d.presign, err = minio.New(public.Host, &opts); err != nil {
		return bundle.Errorf(bundle.KindInvalid, "s3: public_endpoint %q: %w", d.cfg.PublicEndpoint, err)
	}
	return nil
}

// PresignGet returns a URL by which anyone can read the object for the given
// time, at most seven days. It sends nothing: the object need not exist.
func (d *Driver) PresignGet(ctx context.Context, key string, expiry time.Duration) (string, error) {
	u, err := d.presign.PresignedGetObject(ctx, d.cfg.Bucket, d.name(key), expiry, url.Values{})
	if err != nil {
		return "", fail(ctx, err, "sign a URL for %s", key)
	}
	return u.String(), nil
}

// name returns the object's name in the bucket.
func (d *Driver) name(key string) string { return d.cfg.Prefix + key }

// Stat implements [storage.Driver].
func (d *Driver) Stat(ctx context.Context, key string) (storage.ObjectInfo, error) {
	if err := storage.CheckKey(key); err != nil {
		return storage.ObjectInfo{}, err
	}
	o, err := d.core.StatObject(ctx, d.cfg.Bucket, d.name(key), minio.StatObjectOptions{})
	if hasCode(err, "NoSuchKey") {
		err = d.confirmAbsent(ctx, key, err)
	}
	if err != nil {
		return storage.ObjectInfo{}, fail(ctx, err, "stat %s", key)
	}
	return storage.ObjectInfo{Key: key, Size: o.Size, Modified: o.LastModified}, nil
}

// confirmAbsent asks for the object's first byte. The answer to a HEAD has no
// body to tell an absent object from an absent bucket or a key that was revoked,
// and a miss must mean a miss.
func (d *Driver) confirmAbsent(ctx context.Context, key string, absent error) error {
	var opts minio.GetObjectOptions
	opts.Set("Range", "bytes=0-0")
	body, _, _, err := d.core.GetObject(ctx, d.cfg.Bucket, d.name(key), opts)
	if err != nil {
		return err
	}
	// It was written between the two questions: absent was true when asked.
	return errors.Join(absent, body.Close())
}

// Delete implements [storage.Driver]. In a bucket with versioning the store
// keeps the bytes until its lifecycle rules remove them.
func (d *Driver) Delete(ctx context.Context, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	err := d.core.RemoveObject(ctx, d.cfg.Bucket, d.name(key), minio.RemoveObjectOptions{})
	if err == nil || hasCode(err, "NoSuchKey") {
		return nil
	}
	return fail(ctx, err, "delete %s", key)
}

func (d *Driver) listOptions(prefix string, pageSize int) minio.ListObjectsOptions {
	owner := false
	return minio.ListObjectsOptions{
		Prefix: d.name(prefix), Recursive: true, MaxKeys: pageSize, FetchOwner: &owner,
	}
}

// List implements [storage.Driver]. It asks for 1000 keys at a time.
func (d *Driver) List(ctx context.Context, prefix string, fn func(storage.ObjectInfo) error) error {
	// The derived context ends whatever the client still does when fn stops us.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range d.core.ListObjectsIter(ctx, d.cfg.Bucket, d.listOptions(prefix, 1000)) {
		if o.Err != nil {
			return fail(ctx, o.Err, "list %s", prefix)
		}
		key := o.Key[len(d.cfg.Prefix):]
		if err := fn(storage.ObjectInfo{Key: key, Size: o.Size, Modified: o.LastModified}); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil { // the iterator ends silently
		return fail(ctx, err, "list %s", prefix)
	}
	return nil
}

// ReadSmall implements [storage.Driver]. The tag is the object's ETag, which
// most stores compute from the content: a body written twice has one tag.
func (d *Driver) ReadSmall(ctx context.Context, key string) ([]byte, string, error) {
	if err := storage.CheckKey(key); err != nil {
		return nil, "", err
	}
	body, info, _, err := d.core.GetObject(ctx, d.cfg.Bucket, d.name(key), minio.GetObjectOptions{})
	if err != nil {
		return nil, "", fail(ctx, err, "read %s", key)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, storage.MaxSmall+1))
	if err != nil {
		return nil, "", fail(ctx, err, "read %s", key)
	}
	if len(b) > storage.MaxSmall {
		return nil, "", bundle.Errorf(bundle.KindTooLarge, "s3: %s has more than %d bytes; it is not an object of this program", key, storage.MaxSmall)
	}
	return b, info.ETag, nil
}

// WriteSmall implements [storage.Driver] with If-Match and If-None-Match. A
// store that ignores them is found by [Driver.Probe].
func (d *Driver) WriteSmall(ctx context.Context, key string, body []byte, tag string) (string, error) {
	if err := storage.CheckKey(key); err != nil {
		return "", err
	}
	if len(body) > storage.MaxSmall {
		return "", bundle.Errorf(bundle.KindTooLarge, "s3: %s: %d bytes are more than the %d a small object may have", key, len(body), storage.MaxSmall)
	}
	opts := putOptions(sha256.Sum256(body))
	if tag == "" {
		opts.SetMatchETagExcept("*")
	} else {
		opts.SetMatchETag(tag)
	}
	unsure := false // an earlier try may have been carried out
	for try := 1; ; try++ {
		newTag, err := d.putSmall(ctx, key, body, opts)
		if err == nil {
			return newTag, nil
		}
		conflict := hasStatus(err, http.StatusPreconditionFailed) || hasCode(err, "NoSuchKey")
		if conflict && unsure {
			if b, now, rerr := d.ReadSmall(ctx, key); rerr == nil && bytes.Equal(b, body) {
				return now, nil
			}
		}
		if conflict {
			return "", bundle.Errorf(bundle.KindConflict, "s3: %s was changed by another writer; read it and decide again: %w", key, err)
		}
		passing := hasCode(err, "ConditionalRequestConflict") || bundle.IsKind(fail(ctx, err, "write %s", key), bundle.KindUnavailable)
		if !passing || try >= d.cfg.Attempts || !pause(ctx, try) {
			return "", fail(ctx, err, "write %s", key)
		}
		unsure = unsure || !hasCode(err, "ConditionalRequestConflict")
	}
}

func (d *Driver) putSmall(ctx context.Context, key string, body []byte, opts minio.PutObjectOptions) (string, error) {
	sum := sha256.Sum256(body)
	info, err := d.once.PutObject(ctx, d.cfg.Bucket, d.name(key), bytes.NewReader(body), int64(len(body)),
		"", hex.EncodeToString(sum[:]), opts)
	return info.ETag, err
}

// pause waits before try+1, false if ctx ends first.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(min(time.Second, 50*time.Millisecond<<try))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// putOptions asks for the store's own check of the bytes by a signed header,
// and keeps minio-go from splitting the body into signed chunks.
func putOptions(digest bundle.Digest) minio.PutObjectOptions {
	return minio.PutObjectOptions{
		DisableContentSha256: true, // no chunks: the whole body's SHA-256 is signed instead
		DisableMultipart:     true,
		UserMetadata:         map[string]string{checksumHeader: base64.StdEncoding.EncodeToString(digest[:])},
	}
}

// Free implements [storage.Driver]: a bucket doesn't tell.
func (d *Driver) Free(ctx context.Context) (int64, error) { return -1, ctx.Err() }

// Close implements [storage.Driver].
func (d *Driver) Close() error {
	d.idle()
	return nil
}
