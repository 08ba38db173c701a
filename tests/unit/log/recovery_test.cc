// What a log makes of what the last stop left: crash, power loss, damage.

#include "broker/log/file_names.h"
#include "broker/log/probes.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

using base::Errc;

TEST(LogRecovery, after_a_crash_everything_is_there_and_is_made_durable_before_it_is_served) {
  LogRig rig(1, small_segments());
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 30); });
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    EXPECT_FALSE(log->recovery().was_clean);
    EXPECT_EQ(log->next(), Offset{60});
    EXPECT_EQ(log->recovery_point(), Offset{60});
    EXPECT_EQ(log->recovery().bytes_cut, 0U);
    EXPECT_EQ(log->recovery().bytes_rewritten, log->size_bytes());
    EXPECT_EQ(all_bytes(*log), expected_bytes(30));
  });
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    EXPECT_EQ(LogRig::open(node, {.recovery_point = Offset{60}})->next(), Offset{60});
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_tail_torn_at_any_byte_of_the_last_batch_is_cut_there) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 3); });
  const std::string whole = rig.content(kFirstLog);
  const size_t batch_bytes = whole.size() / 3;
  ASSERT_EQ(whole, expected_bytes(3));
  for (size_t torn = 0; torn < batch_bytes; ++torn) {
    rig.overwrite(kFirstLog, whole.substr(0, 2 * batch_bytes + torn));
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, {.recovery_point = Offset{4}});
      EXPECT_EQ(log->next(), Offset{4});
      EXPECT_EQ(log->recovery().bytes_cut, torn);
      EXPECT_EQ(log->recovery().what.empty(), torn == 0);
      EXPECT_EQ(all_bytes(*log), whole.substr(0, 2 * batch_bytes));
      EXPECT_EQ(log->producers().entries().at(7).batches.back().last_sequence, 3);
      append_many(*log, 1);
      EXPECT_EQ(all_bytes(*log), whole);
    });
    ASSERT_TRUE(rig.ended());
    ASSERT_EQ(rig.content(kFirstLog), whole);
  }
  EXPECT_EQ(rig.world.probe_count(probe(ProbeId::torn_tail_cut)), batch_bytes - 1);
}

TEST(LogRecovery, a_flipped_byte_above_the_recovery_point_cuts_and_below_it_is_damage) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 4); });
  const std::string whole = rig.content(kFirstLog);
  const size_t batch_bytes = whole.size() / 4;
  // Base offset and epoch are outside the checksum: the first is judged by contiguity, the epoch
  // by nothing.
  for (size_t at = batch_bytes; at < 2 * batch_bytes; ++at) {
    if (at - batch_bytes >= 12 && at - batch_bytes < 16) continue;
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    rig.overwrite(kFirstLog, damaged);
    rig.run([&](runtime::Node& node) {
      auto refused = LogRig::try_open(node, {.recovery_point = Offset{4}});
      ASSERT_FALSE(refused.has_value()) << at;
      EXPECT_EQ(refused.error().code, Errc::corrupt);
      EXPECT_NE(refused.error().detail.find("orders-0/00000000000000000000.log"),
                std::string::npos);
      EXPECT_NE(refused.error().detail.find("offset 2"), std::string::npos)
          << refused.error().detail;
    });
    ASSERT_EQ(rig.content(kFirstLog), damaged) << "damage is evidence: nothing is changed";
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, {.recovery_point = Offset{2}});
      EXPECT_EQ(log->next(), Offset{2});
      EXPECT_EQ(log->recovery().cut_at, Offset{2});
    });
  }
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, damage_changes_no_file_at_all) {
  LogRig rig(1, small_segments());
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    append_many(*log, 30);
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
  });
  std::string damaged = rig.content(kFirstLog);
  damaged[100] ^= 1;
  rig.overwrite(kFirstLog, damaged);
  rig.overwrite("00000000000000000000.index", "bad");
  rig.overwrite("00000000000000000099.snapshot", "stale");
  std::vector<std::pair<std::string, std::string>> before;
  auto contents = [&] {
    std::vector<std::pair<std::string, std::string>> all;
    for (const std::string& path : rig.disk().paths()) {
      auto bytes = rig.disk().content(path);
      all.emplace_back(path, bytes ? std::string(bytes->text()) : "");
    }
    return all;
  };
  before = contents();
  rig.run([&](runtime::Node& node) {
    auto refused = LogRig::try_open(node, {.recovery_point = Offset{60}});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::corrupt);
  });
  EXPECT_EQ(contents(), before);
}

TEST(LogRecovery, a_log_that_ends_before_its_recovery_point_is_damaged) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 3); });
  rig.run([&](runtime::Node& node) {
    auto refused = LogRig::try_open(node, {.recovery_point = Offset{7}});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::corrupt);
    EXPECT_NE(refused.error().detail.find("offset 6"), std::string::npos);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_tail_of_zeros_is_the_end) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 3); });
  std::string whole = rig.content(kFirstLog);
  for (size_t zeros : {1, 60, 61, 62, 5000, 3'000'000}) {
    rig.overwrite(kFirstLog, whole + std::string(zeros, '\0'));
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      EXPECT_EQ(log->next(), Offset{6});
      EXPECT_EQ(log->recovery().bytes_cut, zeros);
    });
    EXPECT_EQ(rig.content(kFirstLog), whole);
  }
}

TEST(LogRecovery, segments_after_a_torn_one_are_dropped) {
  LogRig rig(1, small_segments());
  std::vector<std::string> logs;
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 4) append_many(*log, 1);
  });
  for (const std::string& path : rig.disk().paths()) {
    if (path.ends_with(kLogSuffix)) logs.push_back(path.substr(LogRig::kFolder.size() + 1));
  }
  ASSERT_EQ(logs.size(), 4U);
  // Torn inside a batch, and between two.
  std::string second = rig.content(logs[1]);
  size_t batch_bytes = expected_bytes(1).size();
  ASSERT_EQ(second.size() % batch_bytes, 0U);
  int64_t base = parse_offset_file_name(logs[1], kLogSuffix)->value;
  rig.overwrite(logs[1], second.substr(0, second.size() - batch_bytes));
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    auto batches = static_cast<int64_t>(second.size() / batch_bytes) - 1;
    EXPECT_EQ(log->next(), Offset{base + 2 * batches});
    EXPECT_EQ(log->recovery().segments_dropped, 2U);
    EXPECT_EQ(log->recovery().cut_at, log->next());
    EXPECT_EQ(log->segment_count(), 2U);
    EXPECT_EQ(all_bytes(*log), expected_bytes(static_cast<int>(log->next().value / 2)));
  });
  EXPECT_EQ(rig.content(logs[2]), "(absent)");
  EXPECT_EQ(rig.content(logs[3]), "(absent)");
  EXPECT_EQ(rig.world.probe_count(probe(ProbeId::segment_dropped)), 1U);
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_hole_below_the_recovery_point_is_damage) {
  LogRig rig(1, small_segments());
  Offset end{0};
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 2) append_many(*log, 1);
    end = log->next();
  });
  std::string first = rig.content(kFirstLog);
  rig.overwrite(kFirstLog, first.substr(0, first.size() - expected_bytes(1).size()));
  rig.run([&](runtime::Node& node) {
    auto refused = LogRig::try_open(node, {.recovery_point = end - 2});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::corrupt);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_compacted_log_may_miss_offsets_but_not_across_its_recovery_point) {
  LogRig rig(1);
  std::string text(build({.count = 2}, 0, 0).text());
  text += build({.count = 2}, 10, 0).text();
  rig.overwrite(kFirstLog, text);
  rig.run([](runtime::Node& node) {
    OpenOptions options;
    options.recovery_point = Offset{12};
    EXPECT_EQ(LogRig::try_open(node, options).error().code, Errc::corrupt);
    options.config.compacted = true;
    options.recovery_point = Offset{5};
    EXPECT_EQ(LogRig::try_open(node, options).error().code, Errc::corrupt);
    options.recovery_point = Offset{12};
    EXPECT_EQ(LogRig::open(node, options)->next(), Offset{12});
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, after_a_stop_in_good_order_nothing_is_scanned_or_written) {
  LogRig rig(1, small_segments());
  Offset end{0};
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node, {.topic_id = base::Uuid{1, 2}});
    append_many(*log, 30, 4);
    end = log->next();
    ASSERT_TRUE(log->close_cleanly().has_value());
  });
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node, {.clean_shutdown = true, .recovery_point = end});
    EXPECT_TRUE(log->recovery().was_clean);
    EXPECT_EQ(log->recovery().segments_scanned, 0U);
    EXPECT_EQ(log->recovery().bytes_rewritten, 0U);
    EXPECT_EQ(log->topic_id(), (base::Uuid{1, 2}));
    EXPECT_EQ(log->next(), end);
    EXPECT_EQ(log->last_epoch(), LeaderEpoch{4});
    EXPECT_EQ(all_bytes(*log), expected_bytes(30, 4));
    // Retries of every batch that a producer may have had open at the stop are known.
    for (int32_t sequence = 50; sequence <= 58; sequence += 2) {
      Appended again = append(
          *log, {.count = 2, .producer_id = 7, .producer_epoch = 0, .base_sequence = sequence}, 4);
      EXPECT_TRUE(again.duplicate);
      EXPECT_EQ(again.base, Offset{sequence});
    }
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_clean_shutdown_file_from_an_older_stop_is_not_believed) {
  // A power loss can bring the deleted file back. Then the recovery point is not at the end.
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    append_many(*log, 2);
    ASSERT_TRUE(log->close_cleanly().has_value());
  });
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node, {.clean_shutdown = true, .recovery_point = Offset{4}});
    append_many(*log, 2);
  });
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node, {.clean_shutdown = true, .recovery_point = Offset{4}});
    EXPECT_FALSE(log->recovery().was_clean);
    EXPECT_EQ(log->next(), Offset{8});
    EXPECT_GT(log->recovery().bytes_rewritten, 0U);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, after_a_crash_a_replay_knows_the_last_five_batches_of_a_producer) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 9); });
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    EXPECT_EQ(log->producers().entries().at(7).batches.size(), kBatchesRemembered);
    EXPECT_EQ(log->producers().entries().at(7).batches.front().first_sequence, 8);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_torn_producer_snapshot_is_refused_and_an_older_one_used) {
  LogRig rig(1, small_segments());
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 4) append_many(*log, 2);
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
  });
  std::vector<std::string> snapshots;
  for (const std::string& path : rig.disk().paths()) {
    if (path.ends_with(kSnapshotSuffix))
      snapshots.push_back(path.substr(LogRig::kFolder.size() + 1));
  }
  ASSERT_EQ(snapshots.size(), 3U);
  rig.overwrite(snapshots[2], rig.content(snapshots[2]).substr(0, 30));
  rig.overwrite(snapshots[1], "");
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    const ProducerEntry& entry = log->producers().entries().at(7);
    EXPECT_EQ(entry.batches.back().last_sequence, log->next().value - 1);
    EXPECT_EQ(entry.batches.size(), kBatchesRemembered);
  });
  EXPECT_EQ(rig.content(snapshots[2]), "(absent)");
  EXPECT_EQ(rig.world.probe_count(probe(ProbeId::snapshot_refused)), 2U);
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, snapshots_beyond_the_end_are_removed) {
  // One of a longer past would be believed when the log has grown to there with other records.
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 2); });
  rig.overwrite("00000000000000000005.snapshot", "whatever");
  rig.run([](runtime::Node& node) { (void)LogRig::open(node); });
  EXPECT_EQ(rig.content("00000000000000000005.snapshot"), "(absent)");
}

TEST(LogRecovery, indexes_that_are_missing_or_bad_are_built_anew_and_equal) {
  LogRig rig(1, small_segments(100'000));
  OpenOptions options;
  Offset end{0};
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node, options);
    while (log->segment_count() < 3) append_many(*log, 10, 0, 100);
    end = log->next();
    ASSERT_TRUE(log->close_cleanly().has_value());
  });
  const std::string index = "00000000000000000000.index";
  const std::string times = "00000000000000000000.timeindex";
  const std::string good_index = rig.content(index);
  const std::string good_times = rig.content(times);
  ASSERT_GT(good_index.size(), 8U * 10);
  ASSERT_GT(good_times.size(), 0U);
  options.clean_shutdown = true;
  options.recovery_point = end;
  std::string zeros(good_index.size(), '\0');
  for (const std::string& bad :
       {std::string(), std::string("xyz"), zeros, good_index.substr(8) + good_index.substr(0, 8)}) {
    rig.overwrite(index, bad);
    if (bad.empty()) {
      rig.run([&](runtime::Node& node) {
        auto folder = node.data.subdirectory(LogRig::kFolder, runtime::OpenMode::open_existing);
        ASSERT_TRUE((*folder)->remove(index).has_value());
        ASSERT_TRUE((*folder)->remove(times).has_value());
      });
    }
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, options);
      EXPECT_EQ(log->next(), end);
      EXPECT_EQ(log->recovery().indexes_rebuilt, 1U);
    });
    EXPECT_EQ(rig.content(index), good_index);
    EXPECT_EQ(rig.content(times), good_times);
  }
  EXPECT_GE(rig.world.probe_count(probe(ProbeId::index_rebuilt)), 4U);
}

TEST(LogRecovery, epochs_beyond_the_end_are_forgotten_and_missing_ones_found) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    append_many(*log, 2, 3);
    append_many(*log, 2, 5);
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
  });
  const std::string name(kEpochCheckpointName);
  ASSERT_EQ(rig.content(name), "0\n2\n3 0\n5 4\n");
  for (const char* text : {"0\n4\n3 0\n5 4\n6 8\n9 20\n", "0\n1\n3 0\n", "0\n0\n", "garbage"}) {
    for (Offset recovery_point : {Offset{0}, Offset{8}}) {
      rig.overwrite(name, text);
      rig.run([&](runtime::Node& node) {
        auto log = LogRig::open(node, {.recovery_point = recovery_point});
        EXPECT_EQ(log->last_epoch(), LeaderEpoch{5});
        EXPECT_EQ(log->end_of_epoch(LeaderEpoch{3}), (EpochEnd{LeaderEpoch{3}, Offset{4}}));
      });
      EXPECT_EQ(rig.content(name), "0\n2\n3 0\n5 4\n") << text;
    }
  }
}

TEST(LogRecovery, what_crashes_leave_lying_about_is_removed_and_the_unknown_left_alone) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 2); });
  for (const char* name :
       {"leader-epoch-checkpoint.tmp", "00000000000000000077.index",
        "00000000000000000077.timeindex", "00000000000000000099.log.deleted", "notes.txt"}) {
    rig.overwrite(name, "x");
  }
  rig.run([](runtime::Node& node) { EXPECT_EQ(LogRig::open(node)->next(), Offset{4}); });
  EXPECT_EQ(rig.content("leader-epoch-checkpoint.tmp"), "(absent)");
  EXPECT_EQ(rig.content("00000000000000000077.index"), "(absent)");
  EXPECT_EQ(rig.content("00000000000000000077.timeindex"), "(absent)");
  EXPECT_EQ(rig.content("00000000000000000099.log.deleted"), "(absent)");
  EXPECT_EQ(rig.content("notes.txt"), "x");
}

TEST(LogRecovery, a_topic_id_that_is_another_is_refused) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { (void)LogRig::open(node, {.topic_id = base::Uuid{1, 2}}); });
  rig.run([](runtime::Node& node) {
    EXPECT_EQ(LogRig::try_open(node, {.topic_id = base::Uuid{1, 3}}).error().code, Errc::invalid);
    EXPECT_EQ(LogRig::open(node)->topic_id(), (base::Uuid{1, 2}));
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecovery, a_log_that_lies_before_its_start_begins_anew_there) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) { append_many(*LogRig::open(node), 2); });
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node, {.start = Offset{10}});
    EXPECT_EQ(log->start(), Offset{10});
    EXPECT_EQ(log->next(), Offset{10});
    EXPECT_EQ(log->recovery().segments_dropped, 1U);
    append(*log, {});
    EXPECT_EQ(log->next(), Offset{11});
  });
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node, {.start = Offset{10}});
    EXPECT_EQ(log->next(), Offset{11});
    EXPECT_EQ(log->read(Offset{3}, Offset{11}, 100).error().code, Errc::invalid);
  });
  EXPECT_TRUE(rig.ended());
}

}  // namespace
}  // namespace verdict::log
