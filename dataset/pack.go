package dataset

import "slices"

// Pack distributes samples over rows of at most maxTokens by first-fit decreasing, which needs at most 11/9 of the
// minimum number of rows (plus a constant). A sample longer than a row gets one of its own. The result depends on the
// lengths alone; rows list their samples in ascending order.
func Pack(lengths []int, maxTokens int) [][]int {
	order := make([]int, len(lengths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return lengths[b] - lengths[a] })
	var rows [][]int
	var free []int // tokens left in each row
	for _, i := range order {
		row := slices.IndexFunc(free, func(left int) bool { return lengths[i] <= left })
		if row < 0 {
			row = len(rows)
			rows = append(rows, nil)
			free = append(free, maxTokens)
		}
		rows[row] = append(rows[row], i)
		free[row] -= lengths[i]
	}
	for _, row := range rows {
		slices.Sort(row)
	}
	return rows
}
