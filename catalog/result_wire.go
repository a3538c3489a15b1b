package catalog

// Encode returns the result as it travels between nodes, which is as it is
// stored.
func (r Result) Encode() ([]byte, error) {
	if r.Err != nil {
		refusal := *r.Err // others may read the original
		r.Err = &refusal
	}
	return pack(&r, shapeResult)
}

// DecodeResult reads what [Result.Encode] wrote, and nothing else.
func DecodeResult(b []byte) (r Result, err error) {
	err = unpack(b, &r, shapeResult)
	return r, err
}
