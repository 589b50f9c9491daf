package dataset

import "slices"

// Pack puts samples into as few rows of at most maxTokens as first-fit decreasing finds, at most 11/9 of the least
// possible. A sample longer than a row gets one of its own. The answer depends on the lengths alone; rows list their samples in ascending order.
func Pack(lengths []int, maxTokens int) [][]int {
	order := make([]int, len(lengths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return lengths[b] - lengths[a] })
	var rows [][]int
	var room []int // left in each row
	for _, i := range order {
		row := slices.IndexFunc(room, func(left int) bool { return lengths[i] <= left })
		if row < 0 {
			row = len(rows)
			rows = append(rows, nil)
			room = append(room, maxTokens)
		}
		rows[row] = append(rows[row], i)
		room[row] -= lengths[i]
	}
	for _, row := range rows {
		slices.Sort(row)
	}
	return rows
}
