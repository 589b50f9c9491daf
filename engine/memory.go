package engine

// margin of the device's memory stays free when a cache is sized: for the library's own workspace.
const margin = 512 << 20

// cachePages is how many pages of keys and values the device has room for: want of them if it can be, least at any rate.
func (m *Model) cachePages(want, least int) (int, error) {
	info, err := m.device.Info()
	if err != nil {
		return 0, err
	}
	room := (int64(info.FreeBytes) - margin) / m.phi.CacheBytes()
	return int(min(int64(want), max(int64(least), room))), nil
}
