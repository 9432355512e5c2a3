-- One very long line, so that places cost time.
-- load: ok
-- call: steps
--@ join 1 return function() local n = 0 while true do
--@ join 4000  n = n + 1
 end end
