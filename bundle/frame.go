package bundle

// Codec says how the payload of a frame encodes a blob's bytes.
type Codec uint8

// The codecs. Their numbers are on disk and on the wire.
const (
	CodecRaw  Codec = 0 // the bytes themselves
	CodecZstd Codec = 1 // one Zstandard frame (RFC 8878) of the bytes
)
