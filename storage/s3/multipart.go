package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/blockstored/blockstored/bundle"
)

// abortTimeout bounds the clean-up after a failed multipart upload. What it
// can't remove, the bucket's rule for incomplete uploads should.
const abortTimeout = time.Minute

// putParts creates an object that is too large for one PUT. A multipart upload
// is create-only on few stores and its checksum is one of the parts' checksums.
// So the key is looked up first, each part carries its own SHA-256, and the
// whole is hashed here while the parts are read; only if that fits is the upload
// completed. Two writers of one key bring the same bytes: the last one wins and
// nothing changes.
func (d *Driver) putParts(ctx context.Context, key string, digest bundle.Digest, body *io.SectionReader) error {
	if err := d.compare(ctx, key, body.Size()); !bundle.IsKind(err, bundle.KindNotFound) {
		return err
	}
	id, err := d.core.NewMultipartUpload(ctx, d.cfg.Bucket, d.name(key), minio.PutObjectOptions{
		UserMetadata: map[string]string{checksumAlgorithm: "SHA256"},
	})
	if err != nil {
		return fail(ctx, err, "begin upload of %s", key)
	}
	parts, err := d.sendParts(ctx, key, id, digest, body)
	if err != nil {
		return errors.Join(err, d.abortParts(ctx, key, id))
	}
	_, err = d.core.CompleteMultipartUpload(ctx, d.cfg.Bucket, d.name(key), id, parts, minio.PutObjectOptions{})
	if hasCode(err, "NoSuchUpload") {
		// An earlier try was carried out, its answer lost.
		return d.compare(ctx, key, body.Size())
	}
	if err != nil {
		return errors.Join(fail(ctx, err, "complete upload of %s", key), d.abortParts(ctx, key, id))
	}
	return nil
}

// sendParts uploads the parts one after the other and compares the whole with
// digest.
func (d *Driver) sendParts(ctx context.Context, key, id string, digest bundle.Digest, body *io.SectionReader) ([]minio.CompletePart, error) {
	size, whole := body.Size(), sha256.New()
	var parts []minio.CompletePart
	for offset, length := int64(0), d.partLength(size); offset < size; offset += length {
		part := io.NewSectionReader(body, offset, min(length, size-offset))
		p, err := d.sendPart(ctx, key, id, len(parts)+1, part, whole)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if [sha256.Size]byte(whole.Sum(nil)) != digest {
		return nil, bundle.Errorf(bundle.KindCorrupt, "s3: the bytes written do not have the digest %s", digest)
	}
	return parts, nil
}

func (d *Driver) sendPart(ctx context.Context, key, id string, number int, part *io.SectionReader, whole hash.Hash) (minio.CompletePart, error) {
	own := sha256.New()
	if _, err := io.Copy(io.MultiWriter(own, whole), part); err != nil {
		return minio.CompletePart{}, bundle.Errorf(bundle.KindOther, "s3: read back the upload: %w", err)
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return minio.CompletePart{}, bundle.Errorf(bundle.KindOther, "s3: read back the upload: %w", err)
	}
	sum := own.Sum(nil)
	checksum := base64.StdEncoding.EncodeToString(sum)
	p, err := d.core.PutObjectPart(ctx, d.cfg.Bucket, d.name(key), id, number, part, part.Size(), minio.PutObjectPartOptions{
		Sha256Hex:            hex.EncodeToString(sum),
		DisableContentSha256: true, // no chunks, as in putOptions
		CustomHeader:         http.Header{checksumHeader: {checksum}},
	})
	if err != nil {
		return minio.CompletePart{}, fail(ctx, err, "put part %d of %s", number, key)
	}
	return minio.CompletePart{PartNumber: number, ETag: p.ETag, ChecksumSHA256: checksum}, nil
}

// partLength returns the length of all parts but the last.
func (d *Driver) partLength(size int64) int64 {
	const step = 1 << 20
	least := (size + maxParts - 1) / maxParts
	return max(d.partSize, (least+step-1)/step*step)
}

// abortParts removes the parts sent so far, even if ctx has ended.
func (d *Driver) abortParts(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	err := d.core.AbortMultipartUpload(ctx, d.cfg.Bucket, d.name(key), id)
	if err != nil && !hasCode(err, "NoSuchUpload") {
		return fail(ctx, err, "abort upload of %s", key)
	}
	return nil
}
