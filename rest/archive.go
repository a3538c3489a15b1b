package rest

import (
	"net/http"
	"strconv"
)

// archiveTypes are the media types of the formats. Never changed.
var archiveTypes = map[string]string{"tar": "application/x-tar", "zip": "application/zip"}

// getArchive sends all files of a version as one archive while they are read.
//
// What can be found wrong before the first byte is an answer. After that the
// connection is broken off, so that a part never looks like the whole.
func getArchive(x *exchange) error {
	format := queryOf(x.r)["format"]
	if format == "" {
		format = "tar"
	}
	media, ok := archiveTypes[format]
	if !ok {
		return refuseField("format", "Choose one of tar, zip.")
	}
	ctx := x.r.Context()
	archive, err := x.cfg.Primary.Archive(ctx, x.ref(), format)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", `attachment; filename="`+x.id.String()+"-"+strconv.FormatUint(x.number, 10)+"."+format+`"`)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil
	}
	if err := archive.Write(ctx, x.w); err != nil {
		if ctx.Err() != nil { // the client went away; nothing to log
			panic(http.ErrAbortHandler)
		}
		return err
	}
	return nil
}
