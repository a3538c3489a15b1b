package bundle

// Location says where the bytes of a blob lie in the store. It is kept in the
// catalog beside the blob; the store alone can rebuild it from the packs'
// footers and the objects' keys.
type Location struct {
	// Object is the SHA-256 of the whole object: of the pack's bytes, or of
	// the blob itself where the blob is an object of its own.
	Object Digest
	// Offset and Length delimit the frame's payload inside a pack, in bytes.
	// Offset is 0 exactly for a blob that is an object of its own: a pack
	// begins with a header. The empty blob has Length 0.
	Offset, Length int64
	// Codec says how the payload is encoded.
	Codec Codec
}

// Packed reports whether the blob lies in a pack.
func (l Location) Packed() bool { return l.Offset > 0 }

// Located is a blob whose bytes are durable, and where they lie.
type Located struct {
	Blob
	Location
}
