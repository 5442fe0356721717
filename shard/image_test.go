package shard

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"
)

// TestReadImageFindsCuts cuts images at every length: whatever the decoder does not read is found by the look at header and end.
func TestReadImageFindsCuts(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 24, 20))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i)
	}
	img.SetRGBA(0, 0, color.RGBA{255, 0, 0, 255})
	var asPNG, asJPEG bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, img), jpeg.Encode(&asJPEG, img, nil)); err != nil {
		t.Fatal(err)
	}
	// A preview with an end of its own, as cameras embed it, in front of the image.
	preview := append([]byte{0xFF, 0xE1, 0, 8}, 0xFF, 0xD8, 0xFF, 0xD9, 0, 0)
	withPreview := append(append([]byte{0xFF, 0xD8}, preview...), asJPEG.Bytes()[2:]...)
	for name, c := range map[string]struct {
		member string
		data   []byte
	}{"png": {"png", asPNG.Bytes()}, "jpg": {"jpg", asJPEG.Bytes()}, "jpeg with a preview": {"jpeg", withPreview}} {
		if config, err := readImage(c.member, c.data, true); err != nil || config.Width != 24 || config.Height != 20 {
			t.Errorf("%s: %+v, %v", name, config, err)
		}
		if _, err := readImage(c.member, append(bytes.Clone(c.data), "more"...), false); err != nil {
			t.Errorf("%s with bytes behind its end: %v", name, err)
		}
		for n := range len(c.data) {
			_, err := readImage(c.member, c.data[:n], false)
			if decodeErr := imageFormats[c.member].decode(c.data[:n]); err == nil && decodeErr != nil {
				t.Errorf("%s cut to %d of %d bytes passes, decoding it fails: %v", name, n, len(c.data), decodeErr)
			}
		}
	}
	if _, err := readImage("jpg", asPNG.Bytes(), false); err == nil {
		t.Error("a PNG is taken under the name of a JPEG, which jobs do not read")
	}
	var broken = bytes.Clone(asPNG.Bytes())
	broken[len(broken)/2] ^= 0x55
	if _, err := readImage("png", broken, false); err != nil {
		t.Errorf("the look at header and end: %v", err)
	}
	if _, err := readImage("png", broken, true); err == nil {
		t.Error("a PNG with a flipped byte passes whole")
	}
}
