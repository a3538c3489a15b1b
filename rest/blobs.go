package rest

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"

	"github.com/blockstored/blockstored/bundle"
)

// missingBlobs answers which of some blobs an uploader has to send.
func missingBlobs(x *exchange) error {
	var in struct {
		Digests []bundle.Digest `json:"digests"`
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	missing, err := x.cfg.Primary.MissingBlobs(x.r.Context(), in.Digests)
	if err != nil {
		return err
	}
	b := append(appendKey([]byte("{"), "missing"), '[')
	for i, d := range missing {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, d.String())
	}
	return x.json(http.StatusOK, append(b, "]}"...))
}

// uploadFrames stores small blobs in bulk.
func uploadFrames(x *exchange) error {
	if media, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); media != bundle.FramesType {
		return refuse(bundle.KindInvalid, http.StatusUnsupportedMediaType,
			`Unsupported media type "`+x.r.Header.Get("Content-Type")+`" in request.`)
	}
	leave, err := x.enterUpload()
	if err != nil {
		return err
	}
	defer leave()
	stored, err := x.cfg.Primary.StoreFrameStream(x.r.Context(), x.upload())
	if err != nil {
		return uploadError(err)
	}
	x.moved()
	return x.json(http.StatusOK, append(appendInt(appendKey([]byte("{"), "stored"), int64(stored)), '}'))
}

// uploadBlob stores one blob of any size.
func uploadBlob(x *exchange) error {
	d, err := bundle.ParseDigest(x.r.PathValue("digest"))
	if err != nil {
		return refuse(bundle.KindInvalid, http.StatusBadRequest, "A blob is named by its SHA-256, 64 hexadecimal digits.")
	}
	leave, err := x.enterUpload()
	if err != nil {
		return err
	}
	defer leave()
	l, err := x.cfg.Primary.StoreBlob(x.r.Context(), x.upload(), d, x.r.ContentLength)
	if err != nil {
		return uploadError(err)
	}
	b := appendText([]byte("{"), "digest", l.Digest.String())
	b = appendText(b, "hash_digest", l.Hash.String())
	b = appendInt(appendKey(b, "size"), l.Size)
	return x.changed(append(b, '}'))
}

// decode reads a body of JSON into v; an unknown key is an error, since no old
// client sends any.
func (x *exchange) decode(v any) error {
	parsed, err := x.body()
	if err != nil {
		return err
	}
	if parsed.json == nil {
		parsed.json = []byte("{}")
	}
	if err := strictly(parsed.json, v); err != nil {
		return bundle.Errorf(bundle.KindInvalid, "The body is not as it should be: %w.", err)
	}
	return nil
}

func strictly(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
