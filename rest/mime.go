package rest

import "strings"

// contentType returns the media type of a file by its name. The table is this
// package's own: the host's would give one site's copy another type than its
// primary's. There is no charset, since nothing here looks into a file.
func contentType(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "application/octet-stream"
	}
	if t, ok := mediaTypes[strings.ToLower(name[dot+1:])]; ok {
		return t
	}
	return "application/octet-stream"
}

// mediaTypes is never changed.
var mediaTypes = map[string]string{
	"aac":         "audio/aac",
	"apng":        "image/apng",
	"avi":         "video/x-msvideo",
	"avif":        "image/avif",
	"bmp":         "image/bmp",
	"bz2":         "application/x-bzip2",
	"c":           "text/x-c",
	"css":         "text/css",
	"csv":         "text/csv",
	"doc":         "application/msword",
	"docx":        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"epub":        "application/epub+zip",
	"flac":        "audio/flac",
	"gif":         "image/gif",
	"gz":          "application/gzip",
	"h":           "text/x-c",
	"htm":         "text/html",
	"html":        "text/html",
	"ico":         "image/vnd.microsoft.icon",
	"ics":         "text/calendar",
	"jpeg":        "image/jpeg",
	"jpg":         "image/jpeg",
	"js":          "text/javascript",
	"json":        "application/json",
	"m4a":         "audio/mp4",
	"m4v":         "video/mp4",
	"markdown":    "text/markdown",
	"md":          "text/markdown",
	"mjs":         "text/javascript",
	"mov":         "video/quicktime",
	"mp3":         "audio/mpeg",
	"mp4":         "video/mp4",
	"mpeg":        "video/mpeg",
	"mpg":         "video/mpeg",
	"odp":         "application/vnd.oasis.opendocument.presentation",
	"ods":         "application/vnd.oasis.opendocument.spreadsheet",
	"odt":         "application/vnd.oasis.opendocument.text",
	"oga":         "audio/ogg",
	"ogg":         "audio/ogg",
	"ogv":         "video/ogg",
	"olx":         "application/xml",
	"opus":        "audio/ogg",
	"otf":         "font/otf",
	"pdf":         "application/pdf",
	"png":         "image/png",
	"ppt":         "application/vnd.ms-powerpoint",
	"pptx":        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"py":          "text/x-python",
	"rtf":         "application/rtf",
	"srt":         "application/x-subrip",
	"svg":         "image/svg+xml",
	"tar":         "application/x-tar",
	"tif":         "image/tiff",
	"tiff":        "image/tiff",
	"toml":        "application/toml",
	"tsv":         "text/tab-separated-values",
	"ttf":         "font/ttf",
	"txt":         "text/plain",
	"vtt":         "text/vtt",
	"wasm":        "application/wasm",
	"wav":         "audio/wav",
	"weba":        "audio/webm",
	"webm":        "video/webm",
	"webmanifest": "application/manifest+json",
	"webp":        "image/webp",
	"woff":        "font/woff",
	"woff2":       "font/woff2",
	"xhtml":       "application/xhtml+xml",
	"xls":         "application/vnd.ms-excel",
	"xlsx":        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"xml":         "application/xml",
	"xsl":         "application/xml",
	"yaml":        "application/yaml",
	"yml":         "application/yaml",
	"zip":         "application/zip",
	"zst":         "application/zstd",
}
