package transform

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
)

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// npy makes a file as numpy.save does.
func npy(header string, values ...byte) []byte {
	b := []byte("\x93NUMPY\x01\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	return append(append(b, header...), values...)
}

func floatBytes(x ...float32) (b []byte) {
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func decode(t testing.TB, member string, data []byte, channels int) Image {
	t.Helper()
	m, err := Decode(map[string][]byte{"cls": []byte("3"), member: data}, channels)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Pix) != m.H*m.W*m.C {
		t.Fatalf("%d values for shape (%d, %d, %d)", len(m.Pix), m.H, m.W, m.C)
	}
	return m
}

func TestDecodePNGKinds(t *testing.T) {
	r := image.Rect(0, 0, 3, 2)
	gray, gray16 := image.NewGray(r), image.NewGray16(r)
	rgba, nrgba := image.NewRGBA(r), image.NewNRGBA(r)
	rgba64, nrgba64 := image.NewRGBA64(r), image.NewNRGBA64(r)
	palette := image.NewPaletted(r, color.Palette{color.RGBA{10, 20, 30, 255}, color.NRGBA{200, 100, 50, 128}})
	for i := range 6 {
		x, y, v := i%3, i/3, uint8(40*i)
		gray.SetGray(x, y, color.Gray{v})
		gray16.SetGray16(x, y, color.Gray16{uint16(v)<<8 + 1})
		rgba.SetRGBA(x, y, color.RGBA{v, v + 1, v + 2, 255})
		nrgba.SetNRGBA(x, y, color.NRGBA{v, v + 1, v + 2, v})
		rgba64.SetRGBA64(x, y, color.RGBA64{uint16(v) << 8, 5, 65535, 65535})
		nrgba64.SetNRGBA64(x, y, color.NRGBA64{uint16(v) << 8, 5, 65535, 1000})
		palette.SetColorIndex(x, y, uint8(i%2))
	}
	byteOf := func(v uint8) float32 { return float32(v) / 255 }
	for _, c := range []struct {
		name     string
		m        image.Image
		channels int
		pixel    func(i int) []float32
	}{
		{"grey", gray, 1, func(i int) []float32 { return []float32{byteOf(uint8(40 * i))} }},
		{"grey of 16 bits", gray16, 1, func(i int) []float32 { return []float32{float32(40*i<<8+1) / 65535} }},
		{"RGB", rgba, 3, func(i int) []float32 {
			v := uint8(40 * i)
			return []float32{byteOf(v), byteOf(v + 1), byteOf(v + 2)}
		}},
		{"transparent RGB", nrgba, 3, func(i int) []float32 {
			v := uint8(40 * i)
			return []float32{byteOf(v), byteOf(v + 1), byteOf(v + 2)}
		}},
		{"RGB of 16 bits", rgba64, 3, func(i int) []float32 { return []float32{float32(40*i<<8) / 65535, 5. / 65535, 1} }},
		{"transparent RGB of 16 bits", nrgba64, 3, func(i int) []float32 { return []float32{float32(40*i<<8) / 65535, 5. / 65535, 1} }},
		{"palette", palette, 3, func(i int) []float32 {
			if i%2 == 0 {
				return []float32{byteOf(10), byteOf(20), byteOf(30)}
			}
			return []float32{byteOf(200), byteOf(100), byteOf(50)}
		}},
	} {
		m := decode(t, "png", encodePNG(t, c.m), 0)
		if m.H != 2 || m.W != 3 || m.C != c.channels {
			t.Fatalf("%s: shape (%d, %d, %d)", c.name, m.H, m.W, m.C)
		}
		for i := range 6 {
			if got, want := m.Pix[i*m.C:(i+1)*m.C], c.pixel(i); !slices.Equal(got, want) {
				t.Errorf("%s: pixel %d is %v, want %v", c.name, i, got, want)
			}
		}
	}
}

func TestChannels(t *testing.T) {
	rgb := image.NewRGBA(image.Rect(0, 0, 1, 2))
	rgb.SetRGBA(0, 0, color.RGBA{255, 0, 51, 255})
	rgb.SetRGBA(0, 1, color.RGBA{255, 255, 255, 255})
	m := decode(t, "png", encodePNG(t, rgb), 1)
	if m.C != 1 || !near(float64(m.Pix[0]), 0.299+0.114*0.2, 1e-7) || m.Pix[1] > 1 || !near(float64(m.Pix[1]), 1, 1e-6) {
		t.Errorf("grey of RGB is %v", m.Pix)
	}
	gray := image.NewGray(image.Rect(0, 0, 2, 1))
	gray.Pix = []byte{51, 255}
	if m := decode(t, "png", encodePNG(t, gray), 3); !slices.Equal(m.Pix, []float32{0.2, 0.2, 0.2, 1, 1, 1}) {
		t.Errorf("RGB of grey is %v", m.Pix)
	}
}

func TestDecodeJPEG(t *testing.T) {
	for _, member := range []string{"jpg", "jpeg"} {
		src := image.NewRGBA(image.Rect(0, 0, 16, 8))
		for i := range src.Pix {
			src.Pix[i] = []byte{200, 100, 50, 255}[i%4]
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, src, &jpeg.Options{Quality: 95}); err != nil {
			t.Fatal(err)
		}
		m := decode(t, member, b.Bytes(), 3)
		if m.H != 8 || m.W != 16 {
			t.Fatalf("shape (%d, %d, %d)", m.H, m.W, m.C)
		}
		for i, v := range m.Pix {
			if want := []float64{200, 100, 50}[i%3] / 255; !near(float64(v), want, 0.02) {
				t.Fatalf("value %d is %v, want about %v", i, v, want)
			}
		}
		gray := image.NewGray(image.Rect(0, 0, 8, 8))
		b.Reset()
		if err := jpeg.Encode(&b, gray, nil); err != nil {
			t.Fatal(err)
		}
		if m := decode(t, member, b.Bytes(), 0); m.C != 1 || m.Pix[0] > 0.02 {
			t.Errorf("grey JPEG has %d channels and begins with %v", m.C, m.Pix[0])
		}
	}
}

func TestDecodeNPY(t *testing.T) {
	m := decode(t, "npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }          \n", 0, 51, 102, 153, 204, 255), 0)
	if m.H != 2 || m.W != 3 || m.C != 1 || !slices.Equal(m.Pix, []float32{0, 0.2, 0.4, 0.6, 0.8, 1}) {
		t.Errorf("uint8: %+v", m)
	}
	m = decode(t, "npy", npy("{'shape': (1, 2, 3), 'fortran_order': False, 'descr': '<f4'}", floatBytes(0, 0.5, 1, 0.25, 0.125, float32(math.Copysign(0, -1)))...), 3)
	if m.H != 1 || m.W != 2 || m.C != 3 || !slices.Equal(m.Pix, []float32{0, 0.5, 1, 0.25, 0.125, 0}) || math.Signbit(float64(m.Pix[5])) {
		t.Errorf("float32: %+v", m)
	}
	v2 := []byte("\x93NUMPY\x02\x00")
	header := "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1), }\n"
	v2 = append(binary.LittleEndian.AppendUint32(v2, uint32(len(header))), header...)
	if m := decode(t, "npy", append(v2, 255), 0); m.Pix[0] != 1 {
		t.Errorf("version 2: %+v", m)
	}
}

func TestTheFirstMemberInOrderCounts(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 1, 1))
	m, err := Decode(map[string][]byte{"npy": []byte("broken"), "png": encodePNG(t, gray)}, 1)
	if err != nil || m.H != 1 {
		t.Errorf("Decode: %+v, %v", m, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := encodePNG(t, image.NewGray(image.Rect(0, 0, 5, 5)))
	flipped := slices.Clone(good)
	flipped[len(flipped)-20] ^= 0x10
	huge := slices.Clone(good)
	binary.BigEndian.PutUint32(huge[16:], 1<<20)
	binary.BigEndian.PutUint32(huge[20:], 1<<20)
	binary.BigEndian.PutUint32(huge[29:], crc(huge[12:29]))
	u1 := func(rest string) string { return "{'descr': '|u1', 'fortran_order': False, " + rest + "}" }
	for _, c := range []struct {
		member   string
		data     []byte
		channels int
		want     string
	}{
		{"png", good[:len(good)/2], 1, `decode member "png" of`},
		{"png", flipped, 1, `decode member "png" of`},
		{"png", nil, 1, `decode member "png" of 0 bytes`},
		{"png", huge, 1, "it announces 1048576×1048576 pixels"},
		{"jpg", []byte("\xff\xd8\xff"), 1, `decode member "jpg" of 3 bytes`},
		{"jpeg", good, 1, `decode member "jpeg" of`},
		{"txt", good, 1, `it has the members ["cls" "txt"], expected png, jpg, jpeg or npy`},
		{"npy", []byte("NUMPY"), 1, "does not begin as an npy file"},
		{"npy", []byte("\x93NUMPY\x07\x00\x00\x00\x00\x00"), 1, "npy format version 7"},
		{"npy", []byte("\x93NUMPY\x02\x00\x00\x00\x00"), 1, "npy header ends too early"},
		{"npy", npy(u1("'shape': (2, 3)"))[:30], 1, "ends after the file"},
		{"npy", npy("{}"), 1, "expected descr, fortran_order and shape"},
		{"npy", npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", 1, 2, 3, 4, 5, 6), 1, "Fortran order"},
		{"npy", npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1)}", 1, 2, 3, 4), 1, `type ">f4": expected |u1`},
		{"npy", npy(u1("'shape': (6,)"), 1, 2, 3, 4, 5, 6), 1, "expected (H, W) or (H, W, C)"},
		{"npy", npy(u1("'shape': (1, 2, 0)")), 1, "expected (H, W) or (H, W, C)"},
		{"npy", npy(u1("'shape': (0, 2)")), 1, "it announces 0×2 pixels"},
		{"npy", npy(u1("'shape': (99999999999999999999, 2)")), 1, "value out of range"},
		{"npy", npy(u1("'shape': (2, 2)"), 1, 2, 3), 1, "has 3 bytes of values: expected 4"},
		{"npy", npy(u1("'shape': (1, 1, 2)"), 1, 2), 3, "it has 2 channels, expected 3"},
		{"npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}", floatBytes(0, 1.5)...), 1, "holds 1.5 at element 1"},
		{"npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", floatBytes(float32(math.NaN()))...), 1, "holds NaN at element 0"},
	} {
		_, err := Decode(map[string][]byte{"cls": []byte("3"), c.member: c.data}, c.channels)
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("Decode: %v, want ErrCorrupt and %q", err, c.want)
		}
	}
}

// crc is the checksum of a PNG chunk.
func crc(b []byte) uint32 {
	c := ^uint32(0)
	for _, v := range b {
		c ^= uint32(v)
		for range 8 {
			c = c>>1 ^ -(c&1)&0xedb88320
		}
	}
	return ^c
}

func FuzzDecodeNPY(f *testing.F) {
	f.Add(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 0, 51, 102, 153, 204, 255))
	f.Add(npy("{'shape': (1, 2, 3), 'fortran_order': False, 'descr': '<f4'}", floatBytes(0, 0.5, 1, 0.25, 0.125, 0)...))
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(map[string][]byte{"npy": data}, 0)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error without sentinel: %v", err)
			}
			return
		}
		if len(m.Pix) != m.H*m.W*m.C {
			t.Errorf("%d values for shape (%d, %d, %d)", len(m.Pix), m.H, m.W, m.C)
		}
		for _, v := range m.Pix {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("value %v", v)
			}
		}
	})
}

func BenchmarkDecodePNG(b *testing.B) {
	m := image.NewGray(image.Rect(0, 0, 28, 28))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i)
	}
	members := map[string][]byte{"png": encodePNG(b, m)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(members, 1); err != nil {
			b.Fatal(err)
		}
	}
}
