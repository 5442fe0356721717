package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
)

// imageFormat reads the images of one kind of member.
type imageFormat struct {
	config func(data []byte) (image.Config, error)
	decode func(data []byte) error
	ends   func(data []byte) bool // what a file that was cut off does not
}

var (
	pngFormat = imageFormat{
		func(data []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(data)) },
		func(data []byte) error { _, err := png.Decode(bytes.NewReader(data)); return err },
		pngEnds,
	}
	jpegFormat = imageFormat{
		func(data []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(data)) },
		func(data []byte) error { _, err := jpeg.Decode(bytes.NewReader(data)); return err },
		jpegEnds,
	}
	imageFormats = map[string]imageFormat{"png": pngFormat, "jpg": jpegFormat, "jpeg": jpegFormat}
)

var errCutOff = errors.New("the file is cut off: the end of the image is missing")

// readImage looks at the header of an image and whether it has an end, and at every pixel if whole is set.
func readImage(member string, data []byte, whole bool) (image.Config, error) {
	if len(data) == 0 {
		return image.Config{}, errors.New("the file is empty")
	}
	f, ok := imageFormats[member]
	if !ok {
		return image.Config{}, fmt.Errorf("member %q is none of png, jpg and jpeg", member)
	}
	c, err := f.config(data)
	if err == nil && !f.ends(data) {
		err = errCutOff
	}
	if err == nil && whole {
		err = f.decode(data)
	}
	return c, err
}

// pngEnds walks the chunks of a PNG (length, type, data, CRC) to the last one.
func pngEnds(data []byte) bool {
	const signature, frame = 8, 12
	for at := signature; at+frame <= len(data); {
		length := int(binary.BigEndian.Uint32(data[at:]))
		if string(data[at+4:at+8]) == "IEND" {
			return true
		}
		at += frame + length
	}
	return false
}

// jpegEnds walks the segments of a JPEG to the first scan, and looks for the marker of the image's end behind it: embedded previews, which have ends of
// their own, lie in segments before.
func jpegEnds(data []byte) bool {
	const startOfScan = 0xDA
	for at := 2; at+4 <= len(data) && data[at] == 0xFF; {
		marker := data[at+1]
		switch {
		case marker == startOfScan:
			return bytes.Contains(data[at:], []byte{0xFF, 0xD9})
		case marker == 0xFF: // padding
			at++
		default:
			at += 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		}
	}
	return false
}
