package transform

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"slices"
)

// maxPixels bounds the size that an image may announce: its decoder would allocate that much before it finds the data missing.
const maxPixels = 1 << 26

// decoders are the image members in the order in which they are looked for.
var decoders = []struct {
	member string
	decode func(data []byte) (Image, error)
}{
	{"png", decodePNG},
	{"jpg", decodeJPEG},
	{"jpeg", decodeJPEG},
	{"npy", decodeNPY},
}

// Members are the names of the members that Decode makes an image from.
func Members() []string {
	names := make([]string, len(decoders))
	for i, d := range decoders {
		names[i] = d.member
	}
	return names
}

// Decode makes an image from the first of the members "png", "jpg", "jpeg" and "npy" that a sample has. With channels 1 or 3 it is
// converted to grey (luma weights 0.299, 0.587, 0.114) or RGB; 0 takes it as it is. Transparency is dropped: colours count as stored,
// unblended, as in PIL. An npy array is (H, W) or (H, W, C), C order, of uint8 (255 is 1) or of float32 in [0, 1]. Errors name the member
// and wrap ErrCorrupt.
func Decode(members map[string][]byte, channels int) (Image, error) {
	for _, d := range decoders {
		data, ok := members[d.member]
		if !ok {
			continue
		}
		m, err := d.decode(data)
		if err != nil {
			return Image{}, fmt.Errorf("decode member %q of %d bytes: %w: %w", d.member, len(data), ErrCorrupt, err)
		}
		out, ok := m.withChannels(channels)
		if !ok {
			return Image{}, fmt.Errorf("decode member %q: %w: it has %d channels, expected %d", d.member, ErrCorrupt, m.C, channels)
		}
		return out, nil
	}
	return Image{}, fmt.Errorf("decode sample: %w: it has the members %q, expected png, jpg, jpeg or npy among them", ErrCorrupt, slices.Sorted(maps.Keys(members)))
}

func decodePNG(data []byte) (Image, error) {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Image{}, err
	}
	if err := checkSize(c.Height, c.Width); err != nil {
		return Image{}, err
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return Image{}, err
	}
	return fromImage(m), nil
}

func decodeJPEG(data []byte) (Image, error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Image{}, err
	}
	if err := checkSize(c.Height, c.Width); err != nil {
		return Image{}, err
	}
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return Image{}, err
	}
	return fromImage(m), nil
}

func checkSize(h, w int) error {
	if h < 1 || w < 1 || h > maxPixels/w {
		return fmt.Errorf("it announces %d×%d pixels: expected at least 1 and at most %d", h, w, maxPixels)
	}
	return nil
}

// unit maps a byte to [0, 1].
var unit = func() (t [256]float32) {
	for i := range t {
		t[i] = float32(i) / 255
	}
	return t
}()

// fromImage keeps grey images grey and makes all others RGB. m comes from one of the decoders above: its premultiplied colours
// (image.RGBA, image.RGBA64) are opaque.
func fromImage(m image.Image) Image {
	b := m.Bounds()
	x0, y0 := b.Min.X, b.Min.Y
	out := Image{H: b.Dy(), W: b.Dx(), C: 3}
	switch m := m.(type) {
	case *image.Gray:
		out.C = 1
		out.fill(func(row []float32, y int) {
			for x, v := range m.Pix[m.PixOffset(x0, y0+y):][:len(row)] {
				row[x] = unit[v]
			}
		})
	case *image.Gray16:
		out.C = 1
		out.fillEach(func(p []float32, x, y int) { p[0] = unit16(m.Gray16At(x0+x, y0+y).Y) })
	case *image.RGBA:
		out.fill(func(row []float32, y int) { opaque(row, m.Pix[m.PixOffset(x0, y0+y):]) })
	case *image.NRGBA:
		out.fill(func(row []float32, y int) { opaque(row, m.Pix[m.PixOffset(x0, y0+y):]) })
	case *image.RGBA64:
		out.fillEach(func(p []float32, x, y int) {
			c := m.RGBA64At(x0+x, y0+y)
			p[0], p[1], p[2] = unit16(c.R), unit16(c.G), unit16(c.B)
		})
	case *image.NRGBA64:
		out.fillEach(func(p []float32, x, y int) {
			c := m.NRGBA64At(x0+x, y0+y)
			p[0], p[1], p[2] = unit16(c.R), unit16(c.G), unit16(c.B)
		})
	case *image.YCbCr:
		out.fillEach(func(p []float32, x, y int) {
			i, j := m.YOffset(x0+x, y0+y), m.COffset(x0+x, y0+y)
			r, g, b := color.YCbCrToRGB(m.Y[i], m.Cb[j], m.Cr[j])
			p[0], p[1], p[2] = unit[r], unit[g], unit[b]
		})
	default: // paletted, CMYK
		out.fillEach(func(p []float32, x, y int) {
			c := color.NRGBAModel.Convert(m.At(x0+x, y0+y)).(color.NRGBA)
			p[0], p[1], p[2] = unit[c.R], unit[c.G], unit[c.B]
		})
	}
	return out
}

// opaque sets a row of RGB from pixels of four bytes, whose last is left out.
func opaque(row []float32, from []uint8) {
	for i, j := 0, 0; i < len(row); i, j = i+3, j+4 {
		row[i], row[i+1], row[i+2] = unit[from[j]], unit[from[j+1]], unit[from[j+2]]
	}
}

// fill allocates the pixels and sets each row with set.
func (m *Image) fill(set func(row []float32, y int)) {
	row := m.W * m.C
	m.Pix = make([]float32, m.H*row)
	for y := range m.H {
		set(m.Pix[y*row:][:row], y)
	}
}

// fillEach is fill for single pixels.
func (m *Image) fillEach(set func(p []float32, x, y int)) {
	m.fill(func(row []float32, y int) {
		for x := range m.W {
			set(row[x*m.C:][:m.C], x, y)
		}
	})
}

// unit16 maps 16 bits to [0, 1].
func unit16(v uint16) float32 { return float32(v) / 65535 }
