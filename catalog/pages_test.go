package catalog

import (
	"errors"
	"fmt"
	"testing"
)

// numbers is a listing of the numbers from 1 to n, each its own cursor.
func numbers(n int) func(Page) ([]Paged[int], error) {
	return func(p Page) (rows []Paged[int], err error) {
		for i := int(p.After) + 1; i <= n && len(rows) < p.limit(); i++ {
			rows = append(rows, Paged[int]{i, uint64(i)})
		}
		return rows, nil
	}
}

func TestEachRowOfAListingIsSeenOnce(t *testing.T) {
	for _, n := range []int{0, 1, 999, 1000, 1001, 2500} {
		seen := 0
		err := Each(numbers(n), func(row int) error {
			if seen++; row != seen {
				return fmt.Errorf("row %d comes as number %d", row, seen)
			}
			return nil
		})
		if err != nil || seen != n {
			t.Errorf("%d rows: saw %d, %v", n, seen, err)
		}
	}
	enough := errors.New("enough")
	if err := Each(numbers(10), func(row int) error {
		if row == 4 {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestPagesOfAListingSayWhetherThereIsMore(t *testing.T) {
	for _, size := range []int{1, 7, 1000, maxPage, 3 * maxPage} {
		for _, n := range []int{0, size - 1, size, size + 1, 2*size + 1} {
			seen, p := 0, Page{Limit: size}
			for more := true; more; {
				f, err := FoundOf(numbers(n), p)
				if err != nil || len(f.Rows) > size || f.More && len(f.Rows) == 0 {
					t.Fatalf("%d rows by %d: %d after %d, more %t, %v", n, size, len(f.Rows), p.After, f.More, err)
				}
				seen += len(f.Rows)
				p.After, more = f.Next, f.More
			}
			if seen != n {
				t.Errorf("%d rows by %d: saw %d", n, size, seen)
			}
		}
	}
}
