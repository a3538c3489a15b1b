package bundle

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Codec says how the payload of a frame encodes a blob's bytes.
type Codec uint8

// The codecs. Their numbers are on disk and on the wire.
const (
	CodecRaw  Codec = 0 // the bytes themselves
	CodecZstd Codec = 1 // one Zstandard frame (RFC 8878) of the bytes
)

// String returns the codec's name, for messages.
func (c Codec) String() string {
	switch c {
	case CodecRaw:
		return "raw"
	case CodecZstd:
		return "zstd"
	}
	return "unknown"
}

const (
	// MaxFrameBlob is the size in bytes up to which a blob travels in a frame
	// and lies in a pack. A larger one is an object of its own.
	MaxFrameBlob = 256 << 10
	// FramesType is the media type of frames that follow each other without
	// gaps.
	FramesType = "application/vnd.blockstored.frames"
	// FrameHeaderSize is the length in bytes of what precedes a frame's
	// payload: digest, codec, size, length.
	FrameHeaderSize = len(Digest{}) + 1 + 4 + 4

	minCompress = 64 // bytes; below this Zstandard's own header eats the gain
)

// Frame is one small blob on its way or in a pack. Digest and Size are claims
// until [Frame.Open] has checked them.
type Frame struct {
	Digest  Digest // of the blob
	Codec   Codec  // of the payload
	Size    int64  // bytes of the blob, at most MaxFrameBlob
	Payload []byte // never longer than Size; shorter exactly if compressed
}

// MakeFrame returns the frame of a blob of at most [MaxFrameBlob] bytes,
// compressed where that saves at least a thirty-second. A raw frame's payload is
// blob itself, not a copy. A longer blob is the caller's mistake and panics:
// whoever chooses between frame and object has just compared the size.
func MakeFrame(blob []byte) Frame {
	if len(blob) > MaxFrameBlob {
		panic("bundle: MakeFrame of a blob over MaxFrameBlob")
	}
	f := Frame{Digest: DigestOf(blob), Size: int64(len(blob)), Payload: blob}
	if len(blob) < minCompress {
		return f
	}
	packed := zstdEncoder().EncodeAll(blob, make([]byte, 0, len(blob)))
	if len(packed) <= len(blob)-len(blob)/32 && len(packed) < len(blob) {
		f.Codec, f.Payload = CodecZstd, packed
	}
	return f
}

// AppendTo appends the frame's bytes, [FrameHeaderSize] and the payload, to b.
func (f Frame) AppendTo(b []byte) []byte {
	b = append(b, f.Digest[:]...)
	b = append(b, byte(f.Codec))
	b = binary.BigEndian.AppendUint32(b, uint32(f.Size))
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Payload)))
	return append(b, f.Payload...)
}

// EncodedLen returns how many bytes AppendTo appends.
func (f Frame) EncodedLen() int { return FrameHeaderSize + len(f.Payload) }

// Open decodes the payload and returns the blob's bytes and names. The bytes of
// a raw frame are its payload, not a copy. Memory is bounded by Size, whatever
// the payload claims. The error is of [KindInvalid] for an impossible frame and
// of [KindCorrupt] where the bytes are not those that digest and size promise.
func (f Frame) Open() (blob []byte, b Blob, err error) {
	if err := f.check(int64(len(f.Payload))); err != nil {
		return nil, Blob{}, err
	}
	blob = f.Payload
	if f.Codec == CodecZstd {
		blob, err = zstdDecoder().DecodeAll(f.Payload, make([]byte, 0, f.Size))
		if err != nil {
			return nil, Blob{}, Errorf(KindCorrupt, "blob %s does not decompress: %w", f.Digest, err)
		}
	}
	if int64(len(blob)) != f.Size || DigestOf(blob) != f.Digest {
		return nil, Blob{}, Errorf(KindCorrupt, "the bytes of blob %s do not match its digest and size", f.Digest)
	}
	return blob, Blob{Digest: f.Digest, Hash: HashOf(blob), Size: f.Size}, nil
}

// check holds the header's fields and a payload length against the limits.
func (f Frame) check(length int64) error {
	switch {
	case f.Size < 0 || f.Size > MaxFrameBlob:
		return Errorf(KindInvalid, "frame of blob %s: %d bytes are over the limit of %d", f.Digest, f.Size, MaxFrameBlob)
	case f.Codec == CodecRaw && length == f.Size, f.Codec == CodecZstd && length < f.Size:
		return nil
	case f.Codec > CodecZstd:
		return Errorf(KindInvalid, "frame of blob %s: unknown codec %d; the sender is newer than this program", f.Digest, f.Codec)
	}
	return Errorf(KindInvalid, "frame of blob %s: a %s payload of %d bytes cannot hold %d", f.Digest, f.Codec, length, f.Size)
}

// FrameReader reads frames that follow each other without gaps. It reads no
// further than the frame it returns, so give it a buffered reader.
type FrameReader struct {
	r   io.Reader
	err error // the end, once reached
}

// NewFrameReader returns a reader of the frames in r. It is used by one
// goroutine.
func NewFrameReader(r io.Reader) *FrameReader { return &FrameReader{r: r} }

// Next returns the next frame, unopened, in memory of its own. The error is
// [io.EOF] at the end of the stream, [io.ErrUnexpectedEOF] where it breaks off
// inside a frame, of [KindInvalid] for a header over a limit, else what the
// underlying reader said; after an error the same error comes again.
func (r *FrameReader) Next() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	f, err := r.next()
	if err != nil {
		r.err = err
		return Frame{}, err
	}
	return f, nil
}

func (r *FrameReader) next() (f Frame, err error) {
	var h [FrameHeaderSize]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return f, err // io.EOF only before the first byte
	}
	n := copy(f.Digest[:], h[:])
	f.Codec = Codec(h[n])
	f.Size = int64(binary.BigEndian.Uint32(h[n+1:]))
	length := int64(binary.BigEndian.Uint32(h[n+5:]))
	if err := f.check(length); err != nil {
		return f, err
	}
	f.Payload = make([]byte, length)
	if _, err := io.ReadFull(r.r, f.Payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return f, err
	}
	return f, nil
}

// The encoder and the decoder are never changed once made, are safe for many
// goroutines (each call borrows a state from a pool inside), and start none.
// They are shared because their tables cost far more than a small blob.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithWindowSize(MaxFrameBlob))
		if err != nil {
			panic(err) // only for an option out of range
		}
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderMaxMemory(MaxFrameBlob), zstd.WithDecoderMaxWindow(MaxFrameBlob))
		if err != nil {
			panic(err) // only for an option out of range
		}
		return d
	})
)
