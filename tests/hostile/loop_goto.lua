-- A goto that jumps back.
-- load: ok
-- call: steps
return function() ::again:: goto again end
